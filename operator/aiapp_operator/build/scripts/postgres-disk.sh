# How full the disk of the data is, as a setting that every role of the database may read: `SHOW aiapp.disk`.
# Goes before the start script and the probe.
#
# Environment:
#   PGDATA   directory of the data
#   PG_RUN   directory for what is written while it runs: not on the disk that may be full

# Percent in use, rounded up as df does, and KiB there are. Below what anybody would be told of, percents are rounded
# down, so that the server does not read its configuration again and again.
disk() {
    # Of a new database the directory is still to come.
    df -Pk "$(dirname "$PGDATA")" | {
        read -r _
        read -r _ size used free _
        percent=$(((used * 100 + used + free - 1) / (used + free)))
        [ "$percent" -ge 80 ] || percent=$((percent / 20 * 20))
        echo "$percent $size"
    }
}

# Whether a server could start and let nobody in: each session writes a little.
full() {
    df -Pk "$(dirname "$PGDATA")" | {
        read -r _
        read -r _ _ _ free _
        [ "$free" -lt 1024 ]
    }
}

# Fails where nothing has changed.
write_disk() {
    now="aiapp.disk = '$(disk)'"
    [ "$now" != "$(cat "$PG_RUN/disk.conf" 2>/dev/null || true)" ] || return 1
    echo "$now" >"$PG_RUN/disk.conf.new" && mv "$PG_RUN/disk.conf.new" "$PG_RUN/disk.conf"
}
