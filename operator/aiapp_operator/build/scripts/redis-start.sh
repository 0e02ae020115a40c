#!/bin/sh
# Starts Redis (or Valkey) as the container's process, with the password as it is mounted now.
#
# Environment:
#   REDIS_RUN      directory for what is written at start
#   REDIS_DATA     directory of the append-only file
#   REDIS_APPEND   yes or no: whether there is such a file
#   REDIS_MEMORY   bytes for data
#   REDIS_POLICY   what happens beyond it: noeviction (writes are refused) or allkeys-lru
#   SECRET_DIR     mounted Secret with the file `password`
#   SECRET_NAME    its name, for messages
set -eu
umask 077
PATH="$PATH:/usr/local/bin:/usr/bin:/bin"

fail() {
    echo "aiapp: $1" >&2
    exit 1
}

[ -r "$SECRET_DIR/password" ] || fail "Secret $SECRET_NAME is missing"
server=$(command -v redis-server || command -v valkey-server) || fail "the image has no Redis: redis-server is not found"
# The probe takes a new one in: it has to log in with this one first.
rm -f "$REDIS_RUN"/previous.*
cat "$SECRET_DIR/password" >"$REDIS_RUN/password"
# Not an argument: those are visible to every process of the node.
password=$(sed 's/[\\"]/\\&/g' "$REDIS_RUN/password")

cat >"$REDIS_RUN/redis.conf" <<CONF
bind * -::*
port ${REDIS_PORT:-6379}
protected-mode yes
requirepass "$password"
dir "$REDIS_DATA"
appendonly $REDIS_APPEND
appendfsync everysec
save ""
maxmemory $REDIS_MEMORY
maxmemory-policy $REDIS_POLICY
daemonize no
CONF
unset password
exec "$server" "$REDIS_RUN/redis.conf"
