#!/usr/bin/env bash
# Measures the release build of this work tree and writes docs/benchmarks/deploy.md, on a machine that does nothing else.
# It tells at its begin how long it takes, and ends everything it started, also when interrupted.
#
#   bench-deploy.sh            the whole run; its figures go into the report
#   bench-deploy.sh --quick    some minutes: whether everything works; figures go to .bench/quick.md
#   bench-deploy.sh --clean    end what a killed run has left; the next run does that as well
#
# Exit codes: 0 measured, aims hit or not; 1 not measured; 2 a request to Tandem failed; 3 something was left behind.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --release --locked --quiet -p tandem -p tandem-testkit
[ "${1:-}" != --clean ] || exec target/release/bench_deploy --clean
report=docs/benchmarks/deploy.md
[ "${1:-}" != --quick ] || report=.bench/quick.md
exec target/release/bench_deploy --binary "$PWD/target/release/tandem" --report "$report" "$@"
