#!/usr/bin/env bash
# Deploys public apps with the release build of this work tree and writes docs/benchmarks/apps.md, on a machine that does
# nothing else. Ends everything it started, also when interrupted.
#
#   bench-apps.sh              the whole run; its figures go into the report
#   bench-apps.sh --quick      two changes each; figures go to .bench/quick.md
#   bench-apps.sh --only NAME  one app alone, in the same way; figures go to .bench/quick.md
#   bench-apps.sh --clean      end what a killed run has left; the next run does that as well
#
# SOURCES: folder with a clone of each app, called as the app; what is missing is cloned (.bench-apps here without it).
# TOOLS: what is put into DATA/tools, such as python/NAME; without it uv fetches the Pythons that are asked for.
#
# Exit codes: 0 measured; 1 not measured; 2 a request failed; 3 something was left behind.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --release --locked --quiet -p tandem -p tandem-testkit
[ "${1:-}" != --clean ] || exec target/release/bench_apps --clean
command -v redis-server >/dev/null || {
    printf 'error: there is no redis-server\n\nhint: apt-get install redis-server\n' >&2
    exit 1
}
sources=${SOURCES:-.bench-apps}
mkdir -p "$sources"
target/release/bench_apps --list | while read -r name url commit; do
    [ -d "$sources/$name" ] || git clone --quiet "$url" "$sources/$name"
    git -C "$sources/$name" cat-file -e "$commit" || git -C "$sources/$name" fetch --quiet origin "$commit"
done
report=docs/benchmarks/apps.md
case "${1:-}" in --quick | --only) report=.bench/quick.md ;; esac
tools=()
[ -z "${TOOLS:-}" ] || tools=(--tools "$TOOLS")
exec target/release/bench_apps --binary "$PWD/target/release/tandem" --report "$report" --sources "$sources" "${tools[@]}" "$@"
