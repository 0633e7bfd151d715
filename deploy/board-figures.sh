#!/bin/sh
# The footprint and the speed of probelet on this machine, as tables in Markdown. Needs a released binary, no compiler, and
# nothing of the shell that BusyBox lacks:
#   sh board-figures.sh [PROBELET [PROBELET_INJECT]]     default: ./probelet, and no figures of HTTPS
# PROBELET_INJECT is an HTTPS app for the probes; openssl makes its certificate, or CERT and KEY name PEM files. PROBES is
# the number of probes in each row, 500 by default. Uses ports 15920 to 15922 of 127.0.0.1.
#
# The app is a second agent. A spaced probe comes from a new process, `probelet check`, which prints its time from connect
# to response. Back to back, one request makes 16 probes: two agents probe each other in turn.
set -eu

probelet=${1:-./probelet} inject=${2-} probes=${PROBES:-500} hops=16
tmp=$(mktemp -d)
pids=''
stop() {
  # shellcheck disable=SC2086
  [ -z "$pids" ] || kill $pids 2>/dev/null || :
  wait
  rm -rf "$tmp"
}
trap stop EXIT
trap 'exit 1' INT TERM

fail() { echo "board-figures: $*" >&2; exit 1; }

# start NAME COMMAND...: waits until it listens; its process ID is in $started.
start() {
  name=$1
  shift
  mkfifo "$tmp/$name"
  "$@" 2>"$tmp/$name" &
  started=$!
  pids="$pids $started"
  exec 3<"$tmp/$name"
  while read -r line <&3; do
    case $line in
      *msg=listening*)
        cat <&3 >/dev/null &
        exec 3<&-
        return ;;
    esac
    echo "$line" >>"$tmp/$name.log"
  done
  cat "$tmp/$name.log" >&2
  fail "$name does not listen"
}

# Nanoseconds of CPU time of a process, or of its clock ticks if the kernel counts no nanoseconds.
cpu() {
  if [ -r "/proc/$1/schedstat" ]; then
    awk '{ printf "%.0f\n", $1 }' "/proc/$1/schedstat"
  else
    sed 's/.*) //' "/proc/$1/stat" | awk '{ printf "%.0f\n", ($12 + $13) * 1e7 }'
  fi
}

# KiB of one field of the sum over a process's mappings.
memory() {
  awk -v field="$2:" '$1 == field { sum += $2 } END { printf "%d", sum }' "/proc/$1/smaps"
}

footprint() { echo "| $1 | $(memory "$2" Rss) KiB | $(memory "$2" Anonymous) KiB |"; }

# check_often URL: a check in each of $probes new processes. Sets $p50 and $p90, in microseconds.
check_often() {
  n=0
  while [ "$n" -lt "$probes" ]; do
    # shellcheck disable=SC2086
    $probelet check --timeout 10 --json "$1" || fail "no success from $1"
    n=$((n + 1))
  done | sed 's/.*"done_ms":\([0-9.]*\).*/\1/' | sort -n >"$tmp/times"
  [ "$(wc -l <"$tmp/times")" -eq "$probes" ] || fail "too few times from $1"
  p50=$(awk -v at="$(((probes + 1) / 2))" 'NR == at { printf "%.0f", $1 * 1000 }' "$tmp/times")
  p90=$(awk -v at="$(((probes * 9 + 9) / 10))" 'NR == at { printf "%.0f", $1 * 1000 }' "$tmp/times")
}

# spaced NAME URL: a row of the table of speed.
spaced() {
  before=$(cpu "$agent")
  check_often "$2"
  after=$(cpu "$agent")
  echo "| $1 | $(((after - before) / probes / 1000)) us | $p50 us | $p90 us |"
}

# The paths of one agent's table: /app-health/N/readyz probes hop N of the other agent, and the last one its readiness.
table() { # table FIRST PORT
  printf '{'
  hop=$1
  while [ "$hop" -lt "$hops" ]; do
    path=/app-health/$((hop + 1))/readyz
    [ "$((hop + 1))" -lt "$hops" ] || path=/healthz/ready
    printf '"/app-health/%d/readyz":{"httpGet":{"path":"%s","port":%d},"timeoutSeconds":10},' "$hop" "$path" "$2"
    hop=$((hop + 2))
  done
  printf '"/app-health/http/readyz":{"httpGet":{"path":"/healthz/ready","port":%d},"timeoutSeconds":10},' "$2"
  printf '"/app-health/tcp/readyz":{"tcpSocket":{"port":%d},"timeoutSeconds":10},' "$2"
  printf '"/app-health/https/readyz":{"httpGet":{"path":"/healthz","port":15922,"scheme":"HTTPS"},"timeoutSeconds":10}}'
}

# The runner of another architecture's binary may precede it: the last word is the file.
binary=${probelet##* }
[ -x "$binary" ] || fail "no binary: $binary"
# Word splitting is wanted: a runner is a word of its own.
# shellcheck disable=SC2086
start app $probelet run --status-addr 127.0.0.1 --status-port 15921 --app-probers "$(table 1 15920)"
app=$started
# shellcheck disable=SC2086
start agent $probelet run --status-addr 127.0.0.1 --status-port 15920 --app-probers "$(table 0 15921)"
agent=$started

model=$(tr -d '\0' 2>/dev/null </proc/device-tree/model) || model=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
pages=$(awk '/^KernelPageSize/ { print $2; exit }' /proc/self/smaps)
echo "${model:-unknown board}, $(uname -m), Linux $(uname -r), pages of $pages KiB, $(grep -c ^processor /proc/cpuinfo) cores."
echo "$($probelet --version), $(($(wc -c <"$binary") / 1024)) KiB."
echo
echo "| footprint | resident | of which anonymous |"
echo "|---|---|---|"
footprint "idle after start" "$agent"
check_often http://127.0.0.1:15920/app-health/http/readyz
footprint "after $probes HTTP probes" "$agent"

# The table of speed comes after the memory, which probes of other kinds change.
{
  spaced HTTP http://127.0.0.1:15920/app-health/http/readyz
  spaced TCP http://127.0.0.1:15920/app-health/tcp/readyz
  check_often http://127.0.0.1:15921/healthz/ready
  echo "| the app without probelet | - | $p50 us | $p90 us |"
} >"$tmp/speed"

# Sums over both agents and all hops.
before=$(($(cpu "$agent") + $(cpu "$app")))
requests=$(((probes + hops - 1) / hops)) n=0
while [ "$n" -lt "$requests" ]; do
  # shellcheck disable=SC2086
  $probelet check --timeout 10 --json http://127.0.0.1:15920/app-health/0/readyz || fail "no success from the hops"
  n=$((n + 1))
done >"$tmp/hops"
after=$(($(cpu "$agent") + $(cpu "$app")))
ms=$(sed 's/.*"done_ms":\([0-9.]*\).*/\1/' "$tmp/hops" | awk '{ sum += $1 } END { printf "%.3f", sum }')
total=$((requests * hops))
rate=$(awk -v ms="$ms" -v total="$total" 'BEGIN { printf "%.0f probes per second | %.0f us each", total / ms * 1000, ms * 1000 / total }')
echo "| HTTP, back to back | $(((after - before) / total / 1000)) us | $rate |" >>"$tmp/speed"

if [ -n "$inject" ]; then
  cert=${CERT-} key=${KEY-}
  if [ -z "$cert" ]; then
    cert=$tmp/tls.crt key=$tmp/tls.key
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=localhost \
      -addext subjectAltName=DNS:localhost -keyout "$key" -out "$cert" 2>/dev/null || fail "openssl makes no certificate"
  fi
  # shellcheck disable=SC2086
  start https $inject serve --addr 127.0.0.1 --port 15922 --shutdown-delay 0 --cert "$cert" --key "$key"
  spaced HTTPS http://127.0.0.1:15920/app-health/https/readyz >>"$tmp/speed"
  footprint "after $probes HTTPS probes" "$agent"
fi
echo
echo "| probe | CPU of the agent | p50 | p90 |"
echo "|---|---|---|---|"
cat "$tmp/speed"
