#!/bin/sh
# Logs in over TCP with the mounted password, as the application does.
#
# Fails when the password is not the mounted one (the Secret was rotated: a restart sets it) and when there is no
# answer. A server that starts, recovers or has no free connection answers: restarting it would make things worse.
# $1 is `live` or `ready`; not ready is also a server that starts or stops. Environment as for the start script.
set -eu
PATH="/usr/lib/postgresql/$PG_MAJOR/bin:/usr/pgsql-$PG_MAJOR/bin:$PATH:/usr/local/bin:/usr/bin:/bin"
for dir in /usr/lib/postgresql/*/bin; do PATH="$PATH:$dir"; done

port=${PGPORT:-5432}
if [ "$1" = started ] || [ ! -r "$SECRET_DIR/password" ]; then
    exec pg_isready -q -t 5 -h localhost -p "$port" -U "$PG_ROLE" -d "$PG_ROLE"
fi

PGPASSWORD=$(cat "$SECRET_DIR/password")
export PGPASSWORD PGCONNECT_TIMEOUT=5
answer=$(psql -X -A -t -q -h localhost -p "$port" -U "$PG_ROLE" -d "$PG_ROLE" -c 'SELECT 1' 2>&1) && exit 0
case "$answer" in
*"too many clients"* | *"remaining connection slots"*) exit 0 ;;
*"the database system is"*) [ "$1" = live ] && exit 0 ;;
esac
echo "$answer" >&2
exit 1
