# The two images of the project: --target operator, --target service.
# BASE_IMAGE needs Python 3.11 or newer with venv, and to be a Debian that has postgresql-client-17 (13 or newer).
ARG BASE_IMAGE=python:3.13-slim

# Tools to install with stay in this stage; both stages use the same base, so that the environment can move.
FROM ${BASE_IMAGE} AS tools
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 SOURCE_DATE_EPOCH=0
COPY requirements/build.txt /src/requirements/
RUN python3 -m venv /opt/tools && /opt/tools/bin/pip install --quiet --require-hashes -r /src/requirements/build.txt

FROM tools AS operator-packages
COPY requirements/operator.txt /src/requirements/
RUN python3 -m venv --without-pip /opt/aiapp \
 && /opt/tools/bin/pip --python /opt/aiapp/bin/python install --quiet --only-binary :all: --require-hashes -r /src/requirements/operator.txt

FROM tools AS service-packages
COPY requirements/service.txt /src/requirements/
RUN python3 -m venv --without-pip /opt/aiapp \
 && /opt/tools/bin/pip --python /opt/aiapp/bin/python install --quiet --only-binary :all: --require-hashes -r /src/requirements/service.txt

FROM tools AS wheel
COPY pyproject.toml /src/
COPY operator /src/operator
COPY app/aiapp_service /src/app/aiapp_service
RUN /opt/tools/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /wheel /src

FROM operator-packages AS operator-environment
COPY --from=wheel /wheel /wheel
RUN /opt/tools/bin/pip --python /opt/aiapp/bin/python install --quiet --no-deps --no-index /wheel/*.whl

FROM service-packages AS service-environment
COPY --from=wheel /wheel /wheel
RUN /opt/tools/bin/pip --python /opt/aiapp/bin/python install --quiet --no-deps --no-index /wheel/*.whl

FROM ${BASE_IMAGE} AS runtime
RUN groupadd --system --gid 1001 aiapp && useradd --system --uid 1001 --gid 1001 --no-create-home aiapp
ENV PATH=/opt/aiapp/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1

FROM runtime AS operator
LABEL org.opencontainers.image.title="AIApp operator" org.opencontainers.image.licenses="Apache-2.0"
COPY --from=operator-environment /opt/aiapp /opt/aiapp
USER 1001:1001
EXPOSE 8080 8081
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8081/livez', timeout=4)"]
ENTRYPOINT ["python", "-m", "aiapp_operator"]

FROM runtime AS service
LABEL org.opencontainers.image.title="AIApp service" org.opencontainers.image.licenses="Apache-2.0"
# pg_dump and pg_restore of the major that the operator runs, for backups.
RUN apt-get update -q \
 && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends postgresql-client-17 \
 && rm -rf /var/lib/apt/lists/* /var/log/apt /var/log/dpkg.log /usr/share/doc/postgresql* /usr/share/man/man*
ENV PATH=/opt/aiapp/bin:/usr/lib/postgresql/17/bin:$PATH
COPY --from=service-environment /opt/aiapp /opt/aiapp
USER 1001:1001
EXPOSE 8080 8081
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s CMD ["aiapp-service", "healthcheck"]
CMD ["aiapp-service", "api", "--host", "0.0.0.0"]
