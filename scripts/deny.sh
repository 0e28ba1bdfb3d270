#!/usr/bin/env bash
# Checks dependencies against deny.toml. Advisories are skipped, with a word, where their database cannot be reached.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
deny=$root/.tools/bin/cargo-deny
[ -x "$deny" ] || { echo "deny: missing: scripts/tools.sh deny" >&2; exit 1; }

# A wrapper may stand in deny.toml before it is used.
"$deny" --locked check --allow unused-wrapper licenses bans sources

log=$(mktemp)
trap 'rm -f "$log"' EXIT
if "$deny" --locked fetch db >"$log" 2>&1; then
    "$deny" --locked check --disable-fetch advisories
else
    echo "deny: advisories SKIPPED: their database (github.com/rustsec/advisory-db) cannot be reached from here"
fi
