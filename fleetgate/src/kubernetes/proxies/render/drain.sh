ask() {
  exec 3<>"/dev/tcp/127.0.0.1/$admin" || return
  printf '%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n' "$1" >&3
  cat <&3
  exec 3>&-
}
connections() {
  ask 'GET /stats?filter=downstream_cx_active' | {
    sum=0
    while read -r line; do
      [[ $line =~ ^listener\.(admin|.*_($ours))\.|\.worker_ ]] && continue
      [[ $line =~ ^listener\..*downstream_cx_active:\ ([0-9]+) ]] && sum=$((sum + BASH_REMATCH[1]))
    done
    echo "$sum"
  }
}
admin=$1 limit=$3 ours=$4
{ ask 'POST /healthcheck/fail' && ask 'POST /drain_listeners?graceful&skip_exit'; } >/dev/null
sleep "$2"
ask 'POST /drain_listeners' >/dev/null
while sleep 0.5 && ((SECONDS < limit && $(connections) > 0)); do :; done
