#!/usr/bin/env bash
# Builds the Tandem that is given to others: profile `dist`, arranged by what a balancer was seen to do under load
# (profile-guided optimization, docs/decisions/027-the-build-that-is-given-to-others.md). Prints where it is; what it does besides
# goes to standard error. Takes twenty minutes on two cores, and none when nothing has changed.
#
# 1. a build that counts what it does; 2. its balancer serves a load, half a minute of everything; 3. the build that knows of it.
#
# Exit codes: 0 built; 1 not.
set -euo pipefail
cd "$(dirname "$0")/.."
# Proxies are in /usr/sbin, which is not on everybody's path.
export PATH=$PATH:/usr/sbin:/sbin
scripts/install-needs.sh dist >&2

host=$(rustc -vV | sed -n 's/^host: //p')
out=$PWD/target/trained
# Everything that decides what is built: a profile fits the sources that it was made with. A file that was deleted counts by the
# message about it.
sources=(crates Cargo.toml Cargo.lock scripts/build-dist.sh ':!crates/tandem-testkit')
digests() { git ls-files -z -co --exclude-standard -- "${sources[@]}" | xargs -0 sha256sum 2>&1 || true; }
key=$({ rustc -vV && digests; } | sha256sum | cut -c1-16)
profile=$out/$key.profdata

say() { echo "build-dist: $*" >&2; }

# build FOLDER FLAG…: Tandem with these flags of the compiler; cargo keeps each kind in a folder of its own.
build() {
    local folder=$1
    shift
    RUSTFLAGS="$*" CARGO_TARGET_DIR=$out/$folder cargo build --profile dist --locked --quiet --target "$host" -p tandem >&2
    binary=$out/$folder/$host/dist/tandem
}

# The one of the toolchain reads what the toolchain writes; Debian's does so for as long as that form does not change.
profdata() {
    local own
    own=$(rustc --print sysroot)/lib/rustlib/$host/bin/llvm-profdata
    [ -x "$own" ] || own=llvm-profdata-19
    "$own" "$@" && return
    say "llvm-profdata cannot read what this toolchain writes"
    printf '\nhint: install the one that belongs to it, then try again:\n\n    rustup component add llvm-tools\n' >&2
    return 1
}

started=()
place=
end_all() {
    [ ${#started[@]} = 0 ] || kill "${started[@]}" 2>/dev/null || true
    # What was counted is written at the end of a process.
    [ ${#started[@]} = 0 ] || wait "${started[@]}" 2>/dev/null || true
    started=()
}
trap 'end_all; [ -z "$place" ] || rm -rf "$place"' EXIT

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# await_answer PORT LOG: until somebody answers there; ten seconds at most.
await_answer() {
    local _
    for _ in {1..100}; do
        ! curl -sf -o "$place/answer" "http://127.0.0.1:$1/small" || return 0
        sleep 0.1
    done
    tail -n 20 "$2" >&2
    say "nobody answers at port $1"
    return 1
}

# An app on $port: a short answer, one that is longer than what is copied, and one that takes a body.
start_app() {
    port=$(free_port)
    mkdir "$place/app"
    head -c 64 /dev/zero | tr '\0' x >"$place/app/small"
    head -c 4096 /dev/zero >"$place/app/page"
    head -c 65536 /dev/zero >"$place/app/large"
    head -c 1048576 /dev/zero >"$place/app/file"
    cat >"$place/nginx.conf" <<CONF
daemon off; worker_processes 1; pid $place/nginx.pid; error_log $place/nginx.log;
events { worker_connections 4096; }
http {
    access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000; client_body_temp_path $place/bodies;
    server { listen 127.0.0.1:$port backlog=4096; root $place/app; location /post { return 200 taken; } }
}
CONF
    nginx -c "$place/nginx.conf" -p "$place" 2>/dev/null &
    started+=($!)
    await_answer "$port" "$place/nginx.log"
}

# start_balancer FORWARDED ARGUMENT…: one in front of the app, at $http and $https.
start_balancer() {
    cat >"$place/routes.toml" <<ROUTES
[[route]]
domain = "*"
targets = ["http://127.0.0.1:$port"]
forwarded = $1

[[route]]
domain = "static.example"
folder = "$place/app"

[[certificate]]
domains = ["localhost"]
cert = "$place/cert.pem"
key = "$place/key.pem"
ROUTES
    shift
    http=$(free_port)
    https=$(free_port)
    "$binary" balancer --routes "$place/routes.toml" --http "127.0.0.1:$http" --https "127.0.0.1:$https" --threads 1 "$@" \
        >"$place/balancer.log" 2>&1 &
    started+=($!)
    await_answer "$http" "$place/balancer.log"
}

# load NAME COMMAND…: it has to have been answered, and by nothing but 200.
load() {
    local name=$1
    shift
    "$@" >"$place/load.log" 2>&1
    if grep -qE 'Non-2xx|[1-9][0-9]* (failed|errored|timeout)|Socket errors' "$place/load.log"; then
        cat "$place/load.log" >&2
        say "the load \"$name\" was not answered"
        return 1
    fi
}

# What balancers do all day, over both protocols, in the clear and not.
serve_everything() {
    local plain=http://127.0.0.1:$http secure=https://localhost:$https
    load "short answers" wrk -t1 -c64 -d3s "$plain/small"
    load "pages" wrk -t1 -c64 -d1s "$plain/page"
    load "long answers" wrk -t1 -c64 -d2s "$plain/large"
    load "very long ones" wrk -t1 -c8 -d1s "$plain/file"
    load "new connections" wrk -t1 -c16 -d1s -H 'Connection: close' "$plain/small"
    load "many fields" wrk -t1 -c64 -d1s -H 'Accept: text/html' -H 'Cookie: session=0123456789abcdef' \
        -H 'User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0' "$plain/page?a=1&b=2"
    load "short files" wrk -t1 -c64 -d1s -H 'Host: static.example' "$plain/page"
    load "long files" wrk -t1 -c8 -d1s -H 'Host: static.example' "$plain/file"
    load "streams" h2load -t1 -c1 -m100 -D3 "$plain/small"
    load "streams of pages" h2load -t1 -c8 -m10 -D1 "$plain/page"
    load "bodies" h2load --h1 -t1 -c16 -D1 -d "$place/app/page" "$plain/post"
    load "bodies in streams" h2load -t1 -c4 -m10 -D1 -d "$place/app/page" "$plain/post"
    load "TLS" wrk -t1 -c64 -d2s "$secure/small"
    load "long answers over TLS" wrk -t1 -c16 -d1s "$secure/large"
    load "handshakes" wrk -t1 -c16 -d1s -H 'Connection: close' "$secure/small"
    load "streams over TLS" h2load -t1 -c1 -m100 -D3 "$secure/small"
}

train() {
    place=$(mktemp -d "${TMPDIR:-/tmp}/tandem-train-XXXXXX")
    # The app's files are read by a user of nginx's.
    chmod 755 "$place"
    rm -rf "$out/counted"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
        -addext subjectAltName=DNS:localhost -keyout "$place/key.pem" -out "$place/cert.pem" 2>/dev/null
    start_app
    # As in a benchmark, and as people run it.
    start_balancer false
    serve_everything
    start_balancer true --access-log "$place/access.log"
    serve_everything
    end_all
    # Sparse: of what no balancer did nothing is known, rather than that it is never done. Deploys stay as fast as they are.
    profdata merge --sparse -o "$profile.new" "$out/counted"
    mv "$profile.new" "$profile"
    rm -rf "$place" "$out/counted"
    place=
}

if [ ! -e "$profile" ]; then
    say "building a Tandem that counts what it does"
    build counting "-Cprofile-generate=$out/counted"
    say "serving a load"
    rm -f "$out"/*.profdata
    train
fi
say "building the one that knows of it"
build built "-Cprofile-use=$profile"
echo "$binary"
