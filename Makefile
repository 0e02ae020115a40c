# Two commands do everything: `make demo` and `make test`. `make help` lists the rest.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := $(BIN)/python -m
PYTEST_ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo test down venv lock lint format generate verify test-unit test-integration test-e2e test-faults

help: ## This list
	@awk -F ':.*## ' '/^[a-z%-]+:.*## /{printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: venv ## A cluster, the operator, an AIApp that becomes Ready, a streamed answer from a real model
	@$(RUN) tests.demo

test: venv ## All tests: unit, integration, end to end, faults
	@$(RUN) tests.runner tests/unit tests/integration tests/e2e tests/faults $(PYTEST_ARGS)

down: ## Remove everything that demo and test started on this machine from this clone
	@test -x $(BIN)/python || { echo "Nothing to remove: there is no $(VENV)"; exit 0; }; $(RUN) tests.cluster down --all

test-unit: venv ## Unit tests only, seconds
	@$(RUN) pytest tests/unit $(PYTEST_ARGS)

test-integration test-e2e test-faults: test-%: venv ## One tier of the tests
	@$(RUN) tests.runner tests/$* $(PYTEST_ARGS)

bench-%: venv ## A benchmark of tests/bench, one JSON object a line
	@$(RUN) tests.bench.$*

lint: venv ## Style, types, layers, dead code
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-cache --no-logo > $(VENV)/imports.log || { cat $(VENV)/imports.log; exit 1; }
	@$(BIN)/vulture

format: venv ## Let ruff format and sort
	@$(BIN)/ruff format --quiet . && $(BIN)/ruff check --quiet --fix .

generate: venv ## Everything that is generated: CRD, goldens, reference
	@$(RUN) tests.generate

verify: lint generate ## Lint, regenerate, fail on a dirty tree
	@git diff --exit-code --stat -- . || { echo "Generated files differ from what is committed: run 'make generate' and commit the result"; exit 1; }
	@test -z "$$(git ls-files --others --exclude-standard)" || { git ls-files --others --exclude-standard; echo "Files that are neither committed nor ignored"; exit 1; }

venv: $(VENV)/.stamp ## The Python environment, with the console scripts aiapp and aiapp-service

$(VENV)/.stamp: requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3"; exit 2; }
	@echo "== Python environment in $(VENV) (about a minute)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

LOCK := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header

lock: venv ## Pin the dependencies of each part, with hashes
	@$(BIN)/$(LOCK) pyproject.toml --extra operator -o requirements/operator.txt
	@$(BIN)/$(LOCK) pyproject.toml --extra service -o requirements/service.txt
	@$(BIN)/$(LOCK) requirements/build.in -o requirements/build.txt
	@$(BIN)/$(LOCK) pyproject.toml --extra operator --extra service --extra dev -o requirements/dev.txt
