#!/usr/bin/env bash
# Measures the release build of this work tree and writes docs/benchmarks/deploy.md. Takes about half an hour on a
# machine that does nothing else; `scripts/bench-deploy.sh --quick` shows in some minutes that everything works.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --release --locked --quiet -p tandem -p tandem-testkit
report=docs/benchmarks/deploy.md
[ "${1:-}" != --quick ] || report=.bench/quick.md
mkdir -p .bench "$(dirname "$report")"
exec target/release/bench_deploy --binary "$PWD/target/release/tandem" --report "$report" "$@"
