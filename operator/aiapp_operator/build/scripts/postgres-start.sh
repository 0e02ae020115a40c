#!/bin/sh
# Starts PostgreSQL as the container's process, with roles and passwords as they are mounted now.
#
# Needs initdb and postgres, wherever the image keeps them. Arguments go to postgres. Environment:
#   PGDATA         directory of the data; its parent is the volume
#   PG_MAJOR       major version of the data
#   PG_RUN         directory for the socket and what is written at start
#   SECRET_NAME    name of the owner's Secret, which those of the others begin with, for messages
# and that of postgres-roles.sh and postgres-disk.sh, which stand before this.
set -eu
umask 077
# As process 1 a shell ignores signals it has no trap for; exec gives postgres the defaults again.
trap 'exit 143' TERM INT

PATH="/usr/lib/postgresql/$PG_MAJOR/bin:/usr/pgsql-$PG_MAJOR/bin:$PATH:/usr/local/bin:/usr/bin:/bin"
for dir in /usr/lib/postgresql/*/bin; do PATH="$PATH:$dir"; done

fail() {
    echo "aiapp: $1" >&2
    exit 1
}

missing=$(missing_secret)
[ -z "$missing" ] || fail "Secret $SECRET_NAME${missing#/} is missing"
for binary in initdb postgres; do
    command -v "$binary" >/dev/null || fail "the image has no PostgreSQL $PG_MAJOR: $binary is not found"
done

# Said at the end of the container, whose status shows its last words.
if full; then fail "No space left on device: the volume of the database is full"; fi

# Statements come from standard input and end at an empty line; the first error ends it. Neither the statements
# nor their errors are logged with their text, since some of them hold passwords.
single() {
    postgres --single -j -D "$1" -c exit_on_error=on -c log_min_error_statement=panic -c log_statement=none \
        -c listen_addresses= -c unix_socket_directories="$PG_RUN" -c log_checkpoints=off -c log_line_prefix= "$2" >/dev/null
}

# Into a directory beside it, renamed when complete: a kill half-way leaves no half database behind.
if [ ! -e "$PGDATA/PG_VERSION" ]; then
    [ ! -e "$PGDATA" ] || fail "$PGDATA holds no database, yet is there: restore it, or remove it for a new one"
    echo "aiapp: a new database"
    rm -rf "$PGDATA.new"
    initdb --pgdata="$PGDATA.new" --username=postgres --auth-local=peer --auth-host=scram-sha-256 \
        --encoding=UTF8 --locale=C.UTF-8 --data-checksums >/dev/null
    # The single-user mode goes on with the numbers of initdb, and what has such a number pg_dump takes for built in:
    # the extension would be missing in every dump.
    pg_resetwal --next-oid=16384 "$PGDATA.new" >/dev/null
    single "$PGDATA.new" postgres <<SQL
CREATE ROLE "$PG_ROLE";

CREATE DATABASE "$PG_ROLE" OWNER "$PG_ROLE";

REVOKE ALL ON DATABASE "$PG_ROLE" FROM PUBLIC;

SQL
    sync
    mv "$PGDATA.new" "$PGDATA"
fi

major=$(cat "$PGDATA/PG_VERSION")
binary=$(postgres --version | sed 's/^[^0-9]*\([0-9][0-9]*\).*/\1/')
[ "$major" = "$binary" ] || fail "the data is of PostgreSQL $major, the image holds PostgreSQL $binary"

# A lock file that names a process which is no postgres comes from a container that was killed.
if [ -e "$PGDATA/postmaster.pid" ]; then
    read -r pid <"$PGDATA/postmaster.pid" || true
    case "$(cat "/proc/${pid:-0}/comm" 2>/dev/null || true)" in
    postgres*) ;;
    *) rm -f "$PGDATA/postmaster.pid" ;;
    esac
fi

roles_sql | single "$PGDATA" "$PG_ROLE"
fingerprint >"$PG_RUN/roles"

# The socket is closed to everybody but this user, who could read the data anyway.
cat >"$PG_RUN/pg_hba.conf" <<HBA
local all postgres trust
host all postgres all scram-sha-256
host "$PG_ROLE" +"$PG_ROLE" all scram-sha-256
host "$PG_ROLE" +"$PG_DATA_ROLE" all scram-sha-256
HBA

write_disk || true
cat >"$PG_RUN/postgresql.conf" <<CONF
include '$PGDATA/postgresql.conf'
include_if_exists '$PG_RUN/disk.conf'
CONF

trap - TERM INT
exec postgres -D "$PGDATA" -c config_file="$PG_RUN/postgresql.conf" -c hba_file="$PG_RUN/pg_hba.conf" -c unix_socket_directories="$PG_RUN" \
    -c unix_socket_permissions=0700 "$@"
