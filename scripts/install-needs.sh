#!/usr/bin/env bash
# Installs what is missing, and only that. `run`: what building and running Tandem needs; `test`: what its tests
# need besides. As root or with sudo that asks nothing; else it prints the one line to type and fails.
set -euo pipefail
for_what=${1:-run}

packages=()
have() { command -v "$1" >/dev/null 2>&1; }
need() { have "$1" || packages+=("$2"); }

need git git
need make make
need cc build-essential
need bwrap bubblewrap
need setpriv util-linux
need python3 python3
# Debian's Python comes without the module that makes virtual environments. The system's own interpreter is asked:
# the first `python3` on the path may be a version manager's, in a home that apps cannot read.
/usr/bin/python3 -c 'import ensurepip, venv' >/dev/null 2>&1 || packages+=(python3-venv)

install_packages() {
    local install=(apt-get install -y --no-install-recommends "$@") as=()
    if ! have apt-get; then
        echo "error: these Debian packages are missing, under whatever name this system has them: $*" >&2
        exit 1
    fi
    if [ "$(id -u)" != 0 ]; then
        if ! { have sudo && sudo -n true 2>/dev/null; }; then
            printf 'error: some packages are missing\n\nhint: type this, then try again:\n\n    sudo sh -c "apt-get update && %s"\n' "${install[*]}" >&2
            exit 1
        fi
        as=(sudo -n)
    fi
    echo "installing: $*"
    local log
    log=$(mktemp)
    if ! { "${as[@]}" apt-get update && "${as[@]}" env DEBIAN_FRONTEND=noninteractive "${install[@]}"; } >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        echo "error: apt-get failed; the whole log is in $log" >&2
        exit 1
    fi
    rm -f "$log"
}

[ ${#packages[@]} = 0 ] || install_packages "${packages[@]}"

if ! have cargo; then
    printf 'error: Rust is missing\n\nhint: install it with rustup, see rustup.rs\n' >&2
    exit 1
fi

if [ "$for_what" = test ] && ! have cargo-nextest; then
    echo "installing cargo-nextest, which runs the tests (some minutes, once)"
    cargo install --locked cargo-nextest
fi
