#!/bin/sh
# Starts Redis (or Valkey) as the container's process, with the password as it is mounted now.
#
# Environment:
#   REDIS_RUN      directory for what is written at start
#   REDIS_DATA     directory of the append-only file
#   REDIS_MEMORY   bytes for data; beyond it writes are refused, nothing is evicted
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
# Not an argument: those are visible to every process of the node.
password=$(sed 's/[\\"]/\\&/g' "$SECRET_DIR/password")

cat >"$REDIS_RUN/redis.conf" <<CONF
bind * -::*
port ${REDIS_PORT:-6379}
protected-mode yes
requirepass "$password"
dir "$REDIS_DATA"
appendonly yes
appendfsync everysec
save ""
maxmemory $REDIS_MEMORY
maxmemory-policy noeviction
daemonize no
CONF
unset password
exec "$server" "$REDIS_RUN/redis.conf"
