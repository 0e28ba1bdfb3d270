#!/usr/bin/env bash
# Installs the tools that the checks use into .tools, never outside of it.
# Usage: scripts/tools.sh python|go|deny|all
# Each part leaves a stamp with its versions and is left alone until they change.
set -euo pipefail

HELM=helm.sh/helm/v4/cmd/helm@v4.3.1
GRPCURL=github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.3
CARGO_DENY=cargo-deny@0.20.2

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tools=$root/.tools

say() { printf 'tools: %s\n' "$*"; }
die() { printf 'tools: %s\n' "$*" >&2; exit 1; }

# current PART VERSIONS BINARY...: whether PART is installed in exactly these versions.
current() {
    local part=$1 versions=$2 binary
    shift 2
    for binary in "$@"; do
        [ -x "$tools/$binary" ] || return 1
    done
    [ "$(cat "$tools/stamps/$part" 2>/dev/null)" = "$versions" ]
}

stamp() {
    mkdir -p "$tools/stamps"
    printf '%s\n' "$2" >"$tools/stamps/$1"
}

# timed WHAT COMMAND...: runs it, says how long it took; its output is shown only when it fails.
timed() {
    local what=$1 start=$SECONDS log
    shift
    say "installing $what"
    log=$(mktemp)
    if ! "$@" >"$log" 2>&1; then
        cat "$log" >&2
        rm -f "$log"
        die "could not install $what"
    fi
    rm -f "$log"
    say "installed $what in $((SECONDS - start)) s"
}

python_tools() {
    command -v python3 >/dev/null || die "python3 is missing: apt-get install python3 python3-venv"
    local versions
    versions="$(python3 --version) $(cksum <"$root/scripts/requirements.txt")"
    if current python "$versions" venv/bin/pytest venv/bin/buf venv/bin/hadolint; then
        say "python tools are up to date"
        return
    fi
    python3 -c 'import ensurepip, venv' 2>/dev/null || die "python3 has no venv module: apt-get install python3-venv"
    rm -rf "$tools/venv"
    timed "the Python venv" python3 -m venv "$tools/venv"
    timed "scripts/requirements.txt" "$tools/venv/bin/python" -m pip install \
        --disable-pip-version-check --quiet --requirement "$root/scripts/requirements.txt"
    stamp python "$versions"
}

go_tools() {
    local versions="$HELM $GRPCURL"
    if current go "$versions" bin/helm bin/grpcurl; then
        say "go tools are up to date"
        return
    fi
    command -v go >/dev/null || die "go is missing (helm and grpcurl are built with it): install Go 1.26 or newer from go.dev"
    local module
    for module in "$GRPCURL" "$HELM"; do
        GOBIN="$tools/bin" GOFLAGS=-buildvcs=false timed "$module" go install "$module"
    done
    stamp go "$versions"
}

deny_tool() {
    if current deny "$CARGO_DENY" bin/cargo-deny; then
        say "cargo-deny is up to date"
        return
    fi
    command -v cargo >/dev/null || die "cargo is missing: install Rust from rustup.rs"
    # Unoptimised: it builds in a third of the time and checks this tree within seconds all the same.
    CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
        CARGO_PROFILE_RELEASE_DEBUG=0 CARGO_TARGET_DIR="$tools/build" \
        timed "$CARGO_DENY" cargo install --quiet --locked --root "$tools" "$CARGO_DENY"
    rm -rf "$tools/build"
    stamp deny "$CARGO_DENY"
}

case "${1:-}" in
    python) python_tools ;;
    go) go_tools ;;
    deny) deny_tool ;;
    all)
        python_tools
        go_tools
        deny_tool
        ;;
    *) die "usage: scripts/tools.sh python|go|deny|all" ;;
esac
