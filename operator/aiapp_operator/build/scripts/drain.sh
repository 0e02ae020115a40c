# drain PORT PATH SECONDS LAG METRIC...: wait until all METRICs are 0, for SECONDS at most.
# The first look is after LAG seconds: until then new requests may still come. An engine that does
# not answer three times in a row has nothing left to wait for.
port=$1 path=$2 seconds=$3 lag=$4
shift 4
# By whatever the engine's image has.
get() {
  url=http://127.0.0.1:$port$path
  if command -v curl >/dev/null 2>&1; then curl -fsS --max-time 5 "$url"
  elif command -v wget >/dev/null 2>&1; then wget -q -T 5 -O - "$url"
  elif command -v python3 >/dev/null 2>&1; then
    python3 -c 'import sys, urllib.request as u; print(u.urlopen(sys.argv[1], timeout=5).read().decode())' "$url"
  else
    bash -c 'exec 3<>"/dev/tcp/127.0.0.1/$0" && printf "GET %s HTTP/1.0\r\n\r\n" "$1" >&3 && cat <&3' "$port" "$path"
  fi
}
# Gives 0 when a metric is not 0. Without any of them nothing is known, which counts as busy.
busy() {
  found=
  while read -r name value rest; do
    for metric in "$@"; do
      case $name in
        "$metric" | "$metric"[{]*)
          found=1
          # Labels may hold blanks: the value is the last word.
          value="$value $rest" value=${value%"${value##*[! ]}"}
          case ${value##* } in 0 | 0.0 | 0.000000) ;; *) return 0 ;; esac ;;
      esac
    done
  done
  test -z "$found"
}
sleep "$lag"
silent=0 idle=0 waited=0
while test "$waited" -lt "$seconds"; do
  if text=$(get 2>/dev/null); then
    silent=0
    if printf '%s\n' "$text" | busy "$@"; then idle=0; else idle=$((idle + 1)); fi
  else
    silent=$((silent + 1)) idle=0
  fi
  if test "$idle" -ge 2 || test "$silent" -ge 3; then exit 0; fi
  sleep 1
  waited=$((waited + 1))
done
