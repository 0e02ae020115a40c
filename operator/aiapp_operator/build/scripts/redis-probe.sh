#!/bin/sh
# Logs in over TCP with the mounted password, as the application does.
#
# `ready` also takes in what a rotation has changed: the server gets the new password beside the old one, which it
# gives up REDIS_OVERLAP minutes later. `live` fails when the password is not the mounted one even so (a restart sets
# it) and when there is no answer. $1 is `live` or `ready`: a server that loads its data or is busy is alive, but not
# ready. Environment as for the start script.
set -eu
umask 077
PATH="$PATH:/usr/local/bin:/usr/bin:/bin"
client=$(command -v redis-cli || command -v valkey-cli)

# $1 is a file with the password to log in with, the rest a command.
ask() {
    REDISCLI_AUTH=$(cat "$1")
    VALKEYCLI_AUTH=$REDISCLI_AUTH
    export REDISCLI_AUTH VALKEYCLI_AUTH
    shift
    "$client" -h localhost -p "${REDIS_PORT:-6379}" "$@" 2>&1
}

# As Redis keeps it: nothing of a command line is secret.
hash_of() {
    printf %s "$(cat "$1")" | sha256sum | cut -d' ' -f1
}

rotate() {
    mounted="$SECRET_DIR/password"
    if ! cmp -s "$mounted" "$REDIS_RUN/password"; then
        case "$(ask "$REDIS_RUN/password" ACL SETUSER default "#$(hash_of "$mounted")")" in
        *OK*)
            old=$(hash_of "$REDIS_RUN/password")
            : >"$REDIS_RUN/previous.$old"
            cat "$mounted" >"$REDIS_RUN/password.new"
            mv "$REDIS_RUN/password.new" "$REDIS_RUN/password"
            ;;
        esac
    fi
    for file in $(find "$REDIS_RUN" -name 'previous.*' -mmin "+$REDIS_OVERLAP"); do
        old=${file##*previous.}
        if [ "$old" != "$(hash_of "$REDIS_RUN/password")" ]; then
            ask "$REDIS_RUN/password" ACL SETUSER default "!$old" >/dev/null
        fi
        rm -f "$file"
    done
}

if [ -r "$SECRET_DIR/password" ]; then
    if [ "$1" = ready ] && [ -r "$REDIS_RUN/password" ]; then
        rotate || true
    fi
    answer=$(ask "$SECRET_DIR/password" ping) || true
else
    answer=$("$client" -h localhost -p "${REDIS_PORT:-6379}" ping 2>&1) || true
fi
case "$answer" in
*PONG*) exit 0 ;;
*LOADING* | *BUSY* | *MISCONF* | *"max number of clients"*) [ "$1" = live ] && exit 0 ;;
*NOAUTH*) [ -r "$SECRET_DIR/password" ] || exit 0 ;; # the Secret is gone: nothing to compare with
esac
echo "$answer" >&2
exit 1
