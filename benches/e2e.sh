#!/usr/bin/env bash
# End to end over loopback: the layer behind axum, compared with a constant handler that
# sends the same bytes and headers. Takes about a minute. Needs cargo and wrk (apt).
#
#   benches/e2e.sh [ROUNDS]
#
# The two run in turn, one second each: A B A B. Prints the median of the ratios of
# neighbouring runs, the layer to the constant handler: 1.00 is the same throughput.
set -euo pipefail
cd "$(dirname "$0")/.."

rounds=${1:-4}
connections=16
command -v wrk >/dev/null || {
  echo "wrk is missing: apt-get install wrk" >&2
  exit 1
}

cargo build --quiet --release --features compression --example e2e_server
server=${CARGO_TARGET_DIR:-target}/release/examples/e2e_server
ready=$(mktemp)
pid=
finish() {
  [ -z "$pid" ] || kill "$pid" 2>/dev/null || true
  rm -f "$ready"
}
trap finish EXIT

load() { # load URL [HEADER]: requests per second
  local with=()
  [ -z "${2-}" ] || with=(-H "$2")
  wrk --threads 1 --connections "$connections" --duration 1s "${with[@]}" "$1" |
    awk '/Requests\/sec/ { print $2; seen = 1 } /Socket errors/ { print > "/dev/stderr" }
         END { exit !seen }'
}

expect() { # expect STATUS URL [HEADER]
  local status with=()
  [ -z "${3-}" ] || with=(-H "$3")
  status=$(curl --silent --output /dev/null --write-out '%{http_code}' "${with[@]}" "$2")
  [ "$status" = "$1" ] || {
    echo "$2 with '${3-}' returned $status, expected $1" >&2
    exit 1
  }
}

median() { # of the lines
  sort -g | awk '{ line[NR] = $1 }
    END { print (line[int((NR + 1) / 2)] + line[int((NR + 2) / 2)]) / 2 }'
}

echo '| models | response | constant, 1/s | ours, 1/s | ours to constant |'
echo '| --: | --- | --: | --: | --: |'
for models in 50 5000; do
  : >"$ready"
  "$server" "$models" >"$ready" &
  pid=$!
  # The server starts after the list is compressed, which takes a moment if it is long.
  for _ in $(seq 600); do
    [ -s "$ready" ] && break
    kill -0 "$pid"
    sleep 0.1
  done
  read -r constant ours etag <"$ready"
  for kind in identity gzip br 304; do
    status=200
    case $kind in
    identity) header= ;;
    304) header="If-None-Match: $etag" status=304 ;;
    *) header="Accept-Encoding: $kind" ;;
    esac
    a=http://127.0.0.1:$constant/$kind
    b=http://127.0.0.1:$ours/v1/models
    expect "$status" "$a" "$header"
    expect "$status" "$b" "$header"
    figures=$(for _ in $(seq "$rounds"); do
      echo "$(load "$a" "$header") $(load "$b" "$header")"
    done)
    of() { # of AWK-EXPRESSION: its median over the rounds
      awk "{ print $1 }" <<<"$figures" | median
    }
    # shellcheck disable=SC2016 # the dollars are awk's
    printf '| %s | %s | %.0f | %.0f | %.3f |\n' "$models" "$kind" \
      "$(of '$1')" "$(of '$2')" "$(of '$2 / $1')"
  done
  kill "$pid"
  wait "$pid" 2>/dev/null || true
  pid=
done
