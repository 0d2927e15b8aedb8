#!/usr/bin/env bash
# Measures the release build of this work tree and writes docs/benchmarks/faults.md, on a machine that does nothing else.
# It tells at its begin how long it takes, and ends everything it started, also when interrupted.
#
#   bench-faults.sh                  the whole run; its figures go into the report
#   bench-faults.sh --quick          some minutes: whether everything works; figures go to .bench/quick-faults.md
#   bench-faults.sh --clean          end what a killed run has left; the next run does that as well
#   bench-faults.sh --only PART      one of store, recovery, restarts, requests, moments; to .bench as well
#   TANDEM_BIN=PATH bench-faults.sh  measure a binary that is built already
#
# Exit codes: 0 measured, aims hit or not; 1 not measured; 2 a promise was broken; 3 something was left behind.
set -euo pipefail
cd "$(dirname "$0")/.."
[ -n "${TANDEM_BIN:-}" ] || cargo build --release --locked --quiet -p tandem
cargo build --release --locked --quiet -p tandem-testkit
[ "${1:-}" != --clean ] || exec target/release/bench_faults --clean
report=docs/benchmarks/faults.md
case "${1:-}" in --quick | --only) report=.bench/quick-faults.md ;; esac
exec target/release/bench_faults --binary "${TANDEM_BIN:-$PWD/target/release/tandem}" --report "$report" "$@"
