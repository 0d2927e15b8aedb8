#!/usr/bin/env bash
# Installs what is missing, and only that. `run`: what building and running Tandem needs; `test`: what its tests
# need besides; `bench-balancer`: what the balancer is measured with; `dist`: what the build that is given to others takes. As root
# or with sudo that asks nothing; else it prints the one line to type and fails.
set -euo pipefail
for_what=${1:-run}

packages=()
have() { command -v "$1" >/dev/null 2>&1; }
need() { have "$1" || packages+=("$2"); }

need git git
# Sources are fetched over SSH by the one, and deploy keys made by the other.
[ -x /usr/bin/ssh ] || [ -x /usr/local/bin/ssh ] || need ssh openssh-client
[ -x /usr/bin/ssh-keygen ] || [ -x /usr/local/bin/ssh-keygen ] || need ssh-keygen openssh-client
need make make
need cc build-essential
# The fuzzer is C++; a machine may have a C compiler alone.
[ "$for_what" != test ] || need c++ build-essential
need bwrap bubblewrap
need setpriv util-linux
# In /usr/sbin, which is not on everybody's path.
[ -x /usr/sbin/nft ] || [ -x /sbin/nft ] || need nft nftables
need python3 python3
# Debian's Python comes without the module that makes virtual environments. The system's own interpreter is asked:
# the first `python3` on the path may be a version manager's, in a home that apps cannot read.
/usr/bin/python3 -c 'import ensurepip, venv' >/dev/null 2>&1 || packages+=(python3-venv)
# Sources are fetched from real servers: an authority of the tests' own signs for the one, and sshd is the other, which
# tests start on ports of their own.
if [ "$for_what" = test ]; then need openssl openssl; fi
[ "$for_what" != test ] || [ -x /usr/sbin/sshd ] || packages+=(openssh-server)
# Some tests set the clock for Tandem alone.
if [ "$for_what" = test ]; then need faketime faketime; fi
# Clients that people have, against the balancer.
if [ "$for_what" = test ]; then
    need curl curl
    need chromium chromium
    need h2load nghttp2-client
fi
# An authority for certificates, which tests start on ports of their own.
if [ "$for_what" = test ]; then need pebble pebble; fi
# One test deploys on a real PostgreSQL, which it starts itself. Any version that is there will do.
if [ "$for_what" = test ] && ! compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; then
    packages+=(postgresql-15)
fi
# What is given to others is arranged by what it does under load.
if [ "$for_what" = dist ]; then
    need openssl openssl
    need curl curl
    need wrk wrk
    need h2load nghttp2-client
    [ -x /usr/sbin/nginx ] || need nginx nginx-light
    compgen -G "$(rustc --print sysroot 2>/dev/null)/lib/rustlib/*/bin/llvm-profdata" >/dev/null || need llvm-profdata-19 llvm-19
fi
if [ "$for_what" = bench-balancer ]; then
    need taskset util-linux
    need openssl openssl
    need curl curl
    need wrk wrk
    need h2load nghttp2-client
    [ -x /usr/sbin/nginx ] || need nginx nginx-light
    [ -x /usr/sbin/haproxy ] || need haproxy haproxy
    need caddy caddy
fi

# Debian's PostgreSQL starts a database of its own when it is installed. Nobody asked for one: a drop-in holds it back,
# only while the package is installed, so that later ones do what their people expect. One that is there is theirs.
no_cluster=/etc/postgresql-common/createcluster.d/tandem-tests.conf
hold_back="mkdir -p ${no_cluster%/*} && echo create_main_cluster = false >$no_cluster"
as=()
forget_no_cluster() { [ ! -e "$no_cluster" ] || "${as[@]}" rm -f "$no_cluster"; }

install_packages() {
    local install=(apt-get install -y --no-install-recommends "$@") before=
    case " $* " in *" postgresql-15 "*) before=$hold_back ;; esac
    if ! have apt-get; then
        echo "error: these Debian packages are missing, under whatever name this system has them: $*" >&2
        exit 1
    fi
    if [ "$(id -u)" != 0 ]; then
        if ! { have sudo && sudo -n true 2>/dev/null; }; then
            printf 'error: some packages are missing\n\nhint: type this, then try again:\n\n    sudo sh -c "%sapt-get update && %s"\n' \
                "${before:+$before && }" "${install[*]}" >&2
            exit 1
        fi
        as=(sudo -n)
    fi
    echo "installing: $*"
    local log
    log=$(mktemp)
    if [ -n "$before" ]; then
        trap forget_no_cluster EXIT
        "${as[@]}" sh -c "$before"
    fi
    if ! { "${as[@]}" apt-get update && "${as[@]}" env DEBIAN_FRONTEND=noninteractive "${install[@]}"; } >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        echo "error: apt-get failed; the whole log is in $log" >&2
        exit 1
    fi
    rm -f "$log"
    # Nobody asked for a service that lets people in.
    case " $* " in *" openssh-server "*)
        if have systemctl; then "${as[@]}" systemctl disable --now ssh.service ssh.socket >/dev/null 2>&1 || true; fi
        ;;
    esac
    # Nor for proxies: the benchmark starts its own.
    local proxy
    for proxy in nginx haproxy caddy; do
        case " $* " in *" $proxy "* | *" $proxy-light "*)
            if have systemctl; then "${as[@]}" systemctl disable --now "$proxy.service" >/dev/null 2>&1 || true; fi
            ;;
        esac
    done
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
