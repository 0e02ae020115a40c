#!/bin/sh
# Starts PostgreSQL as the container's process, with the role's password as it is mounted now.
#
# Needs initdb and postgres, wherever the image keeps them. Arguments go to postgres. Environment:
#   PGDATA         directory of the data; its parent is the volume
#   PG_MAJOR       major version of the data
#   PG_ROLE        role and database of the application
#   PG_EXTENSION   extension that the database needs
#   PG_RUN         directory for the socket and what is written at start
#   SECRET_DIR     mounted Secret with the file `password`
#   SECRET_NAME    its name, for messages
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

[ -r "$SECRET_DIR/password" ] || fail "Secret $SECRET_NAME is missing"
for binary in initdb postgres; do
    command -v "$binary" >/dev/null || fail "the image has no PostgreSQL $PG_MAJOR: $binary is not found"
done

# Statements come from standard input and end at an empty line; the first error ends it. Neither the statements
# nor their errors are logged with their text, since one of them holds the password.
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
    single "$PGDATA.new" postgres <<SQL
CREATE ROLE "$PG_ROLE" LOGIN;

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

password=$(sed "s/'/''/g" "$SECRET_DIR/password")
single "$PGDATA" "$PG_ROLE" <<SQL
SET password_encryption = 'scram-sha-256';

ALTER ROLE "$PG_ROLE" LOGIN PASSWORD '$password';

CREATE EXTENSION IF NOT EXISTS "$PG_EXTENSION";

ALTER EXTENSION "$PG_EXTENSION" UPDATE;

SQL
unset password

cat >"$PG_RUN/pg_hba.conf" <<HBA
local all all peer
host "$PG_ROLE" "$PG_ROLE" all scram-sha-256
HBA

trap - TERM INT
exec postgres -D "$PGDATA" -c hba_file="$PG_RUN/pg_hba.conf" -c unix_socket_directories="$PG_RUN" "$@"
