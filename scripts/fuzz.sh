#!/usr/bin/env bash
# Fuzzing: bytes that a machine makes up, against everything that reads bytes from elsewhere (`fuzz/targets`).
#
#   scripts/fuzz.sh short [TARGET…]       half a minute each; what `make test-long` runs
#   scripts/fuzz.sh long [TARGET…]        ten minutes each (FUZZ_SECONDS=600)
#   scripts/fuzz.sh try TARGET FILE…      runs these inputs once; how a finding is looked at
#   scripts/fuzz.sh minimize TARGET FILE  the smallest input that still fails, beside FILE
#
# libFuzzer with the toolchain of the repository: coverage is a pass of LLVM that stable rustc has too, and for
# AddressSanitizer, which is there for zstd and SQLite, RUSTC_BOOTSTRAP lets it take the one option that is not stable.
# So nothing has to be installed but a C++ compiler. What runs find lies in target/fuzz: inputs that reach something new
# in `corpus`, failures in `findings`. A finding becomes a test of the crate it is in; a new seed goes to `fuzz/seeds`.
set -euo pipefail
cd "$(dirname "$0")/.."
how=${1:-}
shift || true

all=$(sed -n 's/^name = "\([a-z_]*\)"$/\1/p' fuzz/Cargo.toml)
out=$PWD/target/fuzz
host=$(rustc -vV | sed -n 's/^host: //p')

usage() {
    sed -n 's/^#   //p' "$0" >&2
    exit 2
}

build() {
    command -v c++ >/dev/null || scripts/install-needs.sh test
    local coverage=(-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
        -Cllvm-args=-sanitizer-coverage-trace-compares)
    # Not `--locked`: a crate that got a dependency has it in its own lock file only. Cargo says so, and the change to
    # fuzz/Cargo.lock is committed with it.
    (
        cd fuzz
        export RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=$out RUSTFLAGS="${coverage[*]} -Zsanitizer=address"
        export "CFLAGS_${host//-/_}=-fsanitize=address"
        cargo build --release --bins --target "$host"
    )
}

# Scratch files of a target, in memory where there is room: it makes thousands of folders a minute.
scratch() {
    local place=/dev/shm
    [ -w "$place" ] || place=${TMPDIR:-/tmp}
    mktemp -d "$place/tandem-fuzz-XXXXXX"
}

# run TARGET ARGUMENT…: one libFuzzer process with what holds for all.
run() {
    local target=$1 folder status=0
    shift
    folder=$(scratch)
    mkdir -p "$out/findings/$target"
    # A leak shows as memory over the limit; LeakSanitizer would want rights of a debugger.
    (
        cd "$folder"
        TMPDIR=$folder ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:detect_odr_violation=0 RUST_BACKTRACE=1 \
            "$out/$host/release/$target" -artifact_prefix="$out/findings/$target/" -detect_leaks=0 -timeout=20 \
            -rss_limit_mb=2048 -malloc_limit_mb=64 "$@"
    ) || status=$?
    chmod -R u+rwX "$folder" && rm -rf "$folder"
    return $status
}

fuzz() {
    local target=$1 seconds=$2 log=$out/$1.log arguments=(-print_final_stats=1 -max_len=4096)
    mkdir -p "$out/corpus/$target"
    [ ! -e "fuzz/dictionaries/$target.dict" ] || arguments+=(-dict="$PWD/fuzz/dictionaries/$target.dict")
    echo "fuzzing $target for $seconds s"
    if ! run "$target" "${arguments[@]}" -max_total_time="$seconds" \
        "$out/corpus/$target" "$PWD/fuzz/seeds/$target" >"$log" 2>&1; then
        tail -n 60 "$log" >&2
        local found
        found=$(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)
        printf 'error: %s found something\n\nhint: scripts/fuzz.sh minimize %s %s\n' "$target" "$target" "$found" >&2
        return 1
    fi
    grep -E '^(stat::number_of_executed_units|stat::peak_rss_mb)' "$log" | sed 's/^stat::/    /'
    grep -oE 'cov: [0-9]+ ft: [0-9]+ corp: [0-9]+' "$log" | tail -n 1 | sed 's/^/    /'
}

fuzz_all() {
    local seconds=$1 target failed=0
    shift
    build
    # shellcheck disable=SC2086 # a list of words
    for target in ${*:-$all}; do
        fuzz "$target" "$seconds" || failed=1
    done
    return $failed
}

case $how in
short) fuzz_all "${FUZZ_SECONDS:-30}" "$@" ;;
long) fuzz_all "${FUZZ_SECONDS:-600}" "$@" ;;
try)
    [ $# -ge 2 ] || usage
    build
    target=$1
    shift
    # shellcheck disable=SC2046 # findings have no blanks in their names
    run "$target" $(realpath -- "$@")
    ;;
minimize)
    [ $# = 2 ] || usage
    build
    found=$(realpath -- "$2")
    run "$1" -minimize_crash=1 -max_total_time="${FUZZ_SECONDS:-60}" -exact_artifact_path="$found.small" "$found" || true
    echo "$found.small"
    ;;
*) usage ;;
esac
