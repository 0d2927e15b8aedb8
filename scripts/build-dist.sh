#!/usr/bin/env bash
# Builds the Tandem that is given to others: profile `dist`, arranged by what a balancer was seen to do under load
# (profile-guided optimization, docs/decisions/027-the-build-that-is-given-to-others.md). Prints where it is; what it does besides
# goes to standard error. Takes twenty minutes on two cores, and none when nothing has changed.
#
# 1. a build that counts what it does; 2. its balancer serves a load, twice half a minute of everything; 3. the build that knows of it.
#
# Exit codes: 0 built; 1 not.
set -euo pipefail
cd "$(dirname "$0")/.."
umask 022
# Proxies are in /usr/sbin, which is not on everybody's path.
export PATH=$PATH:/usr/sbin:/sbin
scripts/install-needs.sh dist >&2

host=$(rustc -vV | sed -n 's/^host: //p')
out=$PWD/target/trained
say() { echo "build-dist: $*" >&2; }

# Another one of these waits until this one is done. What is started does not keep it: it is closed for them.
mkdir -p "$out"
exec 9>"$out/lock"
flock 9

# Everything that decides what is built: a profile fits the sources that it was made with. A file that was deleted counts by the
# message about it.
sources=(crates Cargo.toml Cargo.lock scripts/build-dist.sh)
others=(':!crates/tandem-testkit' ':(exclude,glob)crates/*/tests/**' ':(exclude,glob)crates/*/benches/**')
digests() { git ls-files -z -co --exclude-standard -- "${sources[@]}" "${others[@]}" | { xargs -0 sha256sum 2>&1 || true; }; }
key() { { rustc -vV && digests; } | sha256sum | cut -c1-16; }
key=$(key)
profile=$out/$key.profdata

# What took so long is of no use if it is not of one piece.
same_sources() {
    [ "$(key)" = "$key" ] && return
    say "the sources have changed since this began"
    printf '\nhint: leave them alone for as long, and try again:\n\n    make dist\n' >&2
    return 1
}

# build FOLDER FLAG: Tandem with this flag of the compiler; cargo keeps each kind in a folder of its own.
build() {
    CARGO_ENCODED_RUSTFLAGS=$2 CARGO_TARGET_DIR=$out/$1 \
        cargo build --profile dist --locked --quiet --target "$host" -p tandem >&2
    binary=$out/$1/$host/dist/tandem
}

# The one of the toolchain reads what the toolchain writes; Debian's does so for as long as that form does not change.
profdata() {
    local own
    own=$(rustc --print sysroot)/lib/rustlib/$host/bin/llvm-profdata
    [ -x "$own" ] || own=llvm-profdata-19
    compgen -G "$out/counted/*.profraw" >/dev/null || { say "no balancer has written what it counted" && return 1; }
    "$own" "$@" && return
    say "llvm-profdata cannot read what this toolchain writes"
    printf '\nhint: install the one that belongs to it, then try again:\n\n    rustup component add llvm-tools\n' >&2
    return 1
}

balancers=()
app=
place=
end_all() {
    [ -z "$app" ] || kill "$app" "${balancers[@]}" 2>/dev/null || true
    wait
}
trap 'end_all; [ -z "$place" ] || rm -rf "$place"' EXIT

# One writes what it counted at its end: one that does not end well has not.
end_balancers() {
    local balancer
    for balancer in "${balancers[@]}"; do
        kill "$balancer"
        wait "$balancer" || { show "the balancer did not end well" "$place"/balancer-*.log && return 1; }
    done
    balancers=()
}

# show SENTENCE FILE…: what went wrong, with the last lines of these.
show() {
    tail -n 20 "${@:2}" >&2 || true
    say "$1"
}

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# await_answer PORT LOG: until somebody answers there; ten seconds at most.
await_answer() {
    local _
    for _ in {1..100}; do
        ! curl --noproxy '*' -sf -o "$place/answer" "http://127.0.0.1:$1/small" || return 0
        sleep 0.1
    done
    show "nobody answers at port $1" "$2"
    return 1
}

# An app on $port: a short answer, one that is longer than what is copied, and one that takes a body.
start_app() {
    port=$(free_port)
    mkdir "$place/app"
    head -c 200 /dev/zero | tr '\0' x >"$place/app/small"
    head -c 7000 /dev/zero >"$place/app/page"
    head -c 100000 /dev/zero >"$place/app/large"
    head -c 700000 /dev/zero >"$place/app/file"
    cat >"$place/nginx.conf" <<CONF
daemon off; worker_processes 1; pid nginx.pid; error_log nginx.log;
events { worker_connections 4096; }
http {
    access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000;
    client_body_temp_path bodies; proxy_temp_path t1; fastcgi_temp_path t2; uwsgi_temp_path t3; scgi_temp_path t4;
    server { listen 127.0.0.1:$port backlog=4096; root app; location /post { return 200 taken; } }
}
CONF
    nginx -c "$place/nginx.conf" -p "$place/" 2>"$place/nginx.log" 9>&- &
    app=$!
    await_answer "$port" "$place/nginx.log"
}

# start_balancer NAME FORWARDED ARGUMENT…: one in front of the app, at $http and $https.
start_balancer() {
    local log=$place/balancer-$1.log routes=$place/$1.toml
    shift
    cat >"$routes" <<ROUTES
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
    "$binary" balancer --routes "$routes" --http "127.0.0.1:$http" --https "127.0.0.1:$https" --threads 1 "$@" \
        >"$log" 2>&1 9>&- &
    balancers+=($!)
    await_answer "$http" "$log"
}

# load NAME COMMAND…: it has to have been answered, and by nothing that tells of a failure or leads elsewhere.
load() {
    local name=$1 status=0
    shift
    "$@" >"$place/load.log" 2>&1 || status=$?
    if [ $status != 0 ] || ! grep -qE '[1-9][0-9]* (requests in|succeeded)' "$place/load.log" ||
        grep -qE 'Non-2xx|[1-9][0-9]* (failed|errored|timeout|[345]xx)|Socket errors' "$place/load.log"; then
        show "the load \"$name\" was not answered" "$place/load.log" "$place"/balancer-*.log
        return 1
    fi
}

# What balancers do all day, over both protocols, in the clear and not.
serve_everything() {
    local plain=http://127.0.0.1:$http secure=https://localhost:$https
    load "short answers" wrk -t1 -c50 -d3s "$plain/small"
    load "pages" wrk -t1 -c40 -d1s "$plain/page"
    load "long answers" wrk -t1 -c30 -d2s "$plain/large"
    load "very long ones" wrk -t1 -c5 -d1s "$plain/file"
    load "new connections" wrk -t1 -c20 -d1s -H 'Connection: close' "$plain/small"
    load "many fields" wrk -t1 -c50 -d1s -H 'Accept: text/html' -H 'Cookie: session=0123456789abcdef' \
        -H 'User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0' "$plain/page?a=1&b=2"
    load "short files" wrk -t1 -c40 -d1s -H 'Host: static.example' "$plain/page"
    load "long files" wrk -t1 -c5 -d1s -H 'Host: static.example' "$plain/file"
    load "streams" h2load -t1 -c3 -m30 -D3 "$plain/small"
    load "streams of pages" h2load -t1 -c6 -m10 -D1 "$plain/page"
    load "bodies" h2load --h1 -t1 -c20 -D1 -d "$place/app/page" "$plain/post"
    load "bodies in streams" h2load -t1 -c5 -m10 -D1 -d "$place/app/page" "$plain/post"
    load "TLS" wrk -t1 -c50 -d2s "$secure/small"
    load "long answers over TLS" wrk -t1 -c10 -d1s "$secure/large"
    load "handshakes" wrk -t1 -c20 -d1s -H 'Connection: close' "$secure/small"
    load "streams over TLS" h2load -t1 -c3 -m30 -D3 "$secure/small"
}

train() {
    place=$(mktemp -d "${TMPDIR:-/tmp}/tandem-train-XXXXXX")
    # The app's files are read by a user of nginx's.
    chmod 755 "$place"
    rm -rf "$out/counted"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
        -addext subjectAltName=DNS:localhost -keyout "$place/key.pem" -out "$place/cert.pem" 2>"$place/openssl.log" ||
        { show "no certificate could be made" "$place/openssl.log" && return 1; }
    start_app
    # With as little as may be, and as people run it.
    start_balancer bare false
    serve_everything
    start_balancer usual true --access-log "$place/access.log"
    serve_everything
    end_balancers
    same_sources
    # Sparse: of what no balancer did nothing is known, rather than that it is never done. Deploys stay as fast as they are.
    profdata merge --sparse -o "$out/new" "$out/counted"
    mv "$out/new" "$profile"
    rm -rf "$out/counted"
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
same_sources
echo "$binary"
