#!/usr/bin/env bash
# Lints the protos, or looks for changes that break their callers.
# Usage: scripts/buf.sh lint|breaking
# breaking compares with the newest release tag (v*), else with the main branch where that is not what is checked out,
# else with the commit before on the first-parent line.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
buf=$root/.tools/venv/bin/buf
[ -x "$buf" ] || { echo "buf: missing: scripts/tools.sh python" >&2; exit 1; }

# A commit that has protos to compare with; nothing if there is none yet.
baseline() {
    local head ref
    head=$(git rev-parse --verify --quiet HEAD) || return 0
    for ref in "$(git describe --tags --abbrev=0 --match 'v[0-9]*' 2>/dev/null || true)" origin/main main HEAD^; do
        [ -n "$ref" ] || continue
        ref=$(git rev-parse --verify --quiet "$ref^{commit}") || continue
        # The checked-out commit itself is a baseline only for what is not committed yet.
        if [ "$ref" = "$head" ] && git diff --quiet HEAD -- proto; then continue; fi
        if [ -n "$(git ls-tree -r --name-only "$ref" -- proto/claviger)" ]; then
            echo "$ref"
            return
        fi
    done
}

breaking() {
    local base old
    base=$(baseline)
    if [ -z "$base" ]; then
        echo "buf: nothing to compare with yet: no release tag, no earlier commit with protos"
        return
    fi
    old=$(mktemp -d)
    # shellcheck disable=SC2064 # the path as it is now
    trap "rm -rf '$old'" EXIT
    git archive "$base" proto | tar -x -C "$old"
    cp buf.yaml "$old/"
    "$buf" breaking --against "$old"
    echo "buf: nothing breaks since $(git describe --tags --always "$base")"
}

case "${1:-}" in
    lint) "$buf" lint && echo "buf: lint is clean" ;;
    breaking) breaking ;;
    *) echo "usage: scripts/buf.sh lint|breaking" >&2; exit 2 ;;
esac
