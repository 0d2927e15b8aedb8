#!/usr/bin/env bash
# `demo.sh start`: Tandem with its data in ./.demo, and the guestbook on it. `demo.sh stop`: the end of both.
# What is already there is used again.
#
#   TANDEM_BIN=PATH    this binary is used as it is, instead of one that is built now
#   DEMO_DATA=DIR      data folder, instead of ./.demo
set -euo pipefail
cd "$(dirname "$0")/.."
data=${DEMO_DATA:-.demo}
tandem=${TANDEM_BIN:-target/release/tandem}
log=$data/up.log
ready=$data/ready.json

fail() {
    printf 'error: %s\n' "$1" >&2
    [ -z "${2:-}" ] || printf '\nhint: %s\n' "$2" >&2
    exit 1
}

runs() { "$tandem" status --data "$data" --json >/dev/null 2>&1; }

# The port in the ready file's line about HTTP.
port() { sed -nE 's/.*"http"[^,}]*:([0-9]+)".*/\1/p' "$ready" | head -n 1; }

port_is_free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

start_tandem() {
    local http=8080
    port_is_free $http || http=0
    rm -f "$ready"
    setsid nohup "$tandem" up --data "$data" --http "127.0.0.1:$http" --api 127.0.0.1:0 --ready-file "$ready" \
        >>"$log" 2>&1 </dev/null &
    local pid=$!
    echo "$pid" >"$data/up.pid"
    for _ in $(seq 600); do
        [ -s "$ready" ] && return
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
    tail -n 20 "$log" >&2
    fail "tandem up did not get ready; the lines above are from $log"
}

build() {
    if [ -n "${TANDEM_BIN:-}" ]; then
        [ -x "$tandem" ] || fail "TANDEM_BIN names no program: $tandem"
        return
    fi
    echo "building Tandem (the first time takes some minutes)"
    cargo build --release --locked --quiet -p tandem
}

start() {
    build
    [ -d "$data" ] || mkdir -m 0700 "$data"
    if runs && [ -s "$ready" ]; then
        echo "using the Tandem that runs already"
    else
        start_tandem
    fi
    "$tandem" deploy examples/guestbook --data "$data"
    cat <<END

ready: http://guestbook.localhost:$(port)

Try next, after a change to GREETING in examples/guestbook/entries/views.py:

    $tandem deploy examples/guestbook --data $data
    $tandem rollback --data $data
    $tandem logs -f --data $data
END
}

stop() {
    [ -x "$tandem" ] || fail "$tandem is not there" "make demo builds it"
    [ -d "$data" ] || { echo "nothing to stop"; return; }
    "$tandem" down --data "$data"
    rm -f "$data/up.pid" "$ready"
}

case ${1:-} in
    start) start ;;
    stop) stop ;;
    *) fail "usage: demo.sh start|stop" ;;
esac
