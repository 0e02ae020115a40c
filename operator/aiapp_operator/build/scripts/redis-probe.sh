#!/bin/sh
# Logs in over TCP with the mounted password, as the application does.
#
# Fails when the password is not the mounted one (the Secret was rotated: a restart sets it) and when there is no
# answer. $1 is `live` or `ready`: a server that loads its data or is busy is alive, but not ready.
# Environment as for the start script.
set -eu
PATH="$PATH:/usr/local/bin:/usr/bin:/bin"
client=$(command -v redis-cli || command -v valkey-cli)
if [ -r "$SECRET_DIR/password" ]; then
    REDISCLI_AUTH=$(cat "$SECRET_DIR/password")
    VALKEYCLI_AUTH=$REDISCLI_AUTH
    export REDISCLI_AUTH VALKEYCLI_AUTH
fi
answer=$("$client" -h localhost -p "${REDIS_PORT:-6379}" ping 2>&1) || true
case "$answer" in
*PONG*) exit 0 ;;
*LOADING* | *BUSY* | *MISCONF* | *"max number of clients"*) [ "$1" = live ] && exit 0 ;;
*NOAUTH*) [ -r "$SECRET_DIR/password" ] || exit 0 ;; # the Secret is gone: nothing to compare with
esac
echo "$answer" >&2
exit 1
