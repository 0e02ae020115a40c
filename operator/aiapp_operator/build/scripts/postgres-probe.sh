#!/bin/sh
# Logs in over TCP with the mounted password of the API, as the API does.
#
# `ready` also takes in what a rotation has changed: a Secret that is mounted anew becomes a role, while the server
# runs on; and it tells the server how full its disk is. `live` fails when the password is not the mounted one even so (a restart sets it) and when there is no
# answer. A server that starts, recovers or has no free connection answers: restarting it would make things worse.
# $1 is `started`, `live` or `ready`; not ready is also a server that starts or stops. Environment as for the start
# script.
set -eu
PATH="/usr/lib/postgresql/$PG_MAJOR/bin:/usr/pgsql-$PG_MAJOR/bin:$PATH:/usr/local/bin:/usr/bin:/bin"
for dir in /usr/lib/postgresql/*/bin; do PATH="$PATH:$dir"; done

port=${PGPORT:-5432}
if [ "$1" = started ] || [ -n "$(missing_secret)" ]; then
    exec pg_isready -q -t 5 -h localhost -p "$port" -d "$PG_ROLE"
fi

if [ "$1" = ready ]; then
    seen=$(fingerprint)
    if [ "$seen" != "$(cat "$PG_RUN/roles" 2>/dev/null || true)" ]; then
        # Errors would be logged with their statement, and that with the password.
        answer=$(roles_sql | PGOPTIONS="-c log_min_error_statement=panic -c log_statement=none" \
            psql -X -q -1 -v ON_ERROR_STOP=1 -h "$PG_RUN" -p "$port" -U postgres -d "$PG_ROLE" 2>&1) &&
            echo "$seen" >"$PG_RUN/roles" || echo "aiapp: the roles could not be changed" >&2
    fi
    if write_disk; then
        psql -X -q -A -t -h "$PG_RUN" -p "$port" -U postgres -d "$PG_ROLE" -c 'SELECT pg_reload_conf()' >/dev/null 2>&1 ||
            rm -f "$PG_RUN/disk.conf"
    fi
fi

PGUSER=$(cat "$SECRET_DIR/api/username")
PGPASSWORD=$(cat "$SECRET_DIR/api/password")
export PGUSER PGPASSWORD PGCONNECT_TIMEOUT=5
answer=$(psql -X -A -t -q -h localhost -p "$port" -d "$PG_ROLE" -c 'SELECT 1' 2>&1) && exit 0
case "$answer" in
*"too many clients"* | *"remaining connection slots"*) exit 0 ;;
*"the database system is"*) [ "$1" = live ] && exit 0 ;;
esac
echo "$answer" >&2
exit 1
