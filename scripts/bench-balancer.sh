#!/usr/bin/env bash
# Measures the balancer of the build that is given to others (build-dist.sh) beside nginx, HAProxy and Caddy on the same work, and
# writes docs/benchmarks/balancer.md, on a machine with two cores that does nothing else. Installs what is missing of them. Ends
# everything it started, also when interrupted.
#
#   bench-balancer.sh              the whole run; its figures go into the report
#   bench-balancer.sh --quick      two rounds of a second, by a build that takes less time: whether everything works; figures go to
#                                  .bench/quick.md
#   bench-balancer.sh --only ROW   one row alone, in the same way; figures go to .bench/quick.md
#   bench-balancer.sh --clean      end what a killed run has left; the next run does that as well
#
# BINARY: measured instead of that build, such as one from before a change.
#
# Exit codes: 0 measured, aims hit or not; 1 not measured; 2 a request to Tandem failed; 3 something was left behind.
set -euo pipefail
cd "$(dirname "$0")/.."
# Proxies are in /usr/sbin, which is not on everybody's path.
export PATH=$PATH:/usr/sbin:/sbin
scripts/install-needs.sh bench-balancer
cargo build --profile dist --locked --quiet -p tandem-testkit
[ "${1:-}" != --clean ] || exec target/dist/bench_balancer --clean
report=docs/benchmarks/balancer.md quick= told=()
for word in "$@"; do
    case "$word" in
        --quick) report=.bench/quick.md quick=yes ;;
        --only) report=.bench/quick.md ;;
    esac
done
if [ -n "${BINARY:-}" ]; then
    binary=$BINARY
elif [ -n "$quick" ]; then
    cargo build --profile dist --locked --quiet -p tandem
    binary=target/dist/tandem
else
    binary=$(scripts/build-dist.sh)
    told=(--given-to-others)
fi
exec target/dist/bench_balancer --binary "$binary" --report "$report" "${told[@]}" "$@"
