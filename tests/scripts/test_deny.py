"""Every ban of deny.toml is seen to fail: a copy of the workspace breaks all of them at once."""

import json
import shutil
import subprocess

import pytest

from places import ROOT, TOOLS

DENY = TOOLS / "bin" / "cargo-deny"
# Crates that each workspace member must not depend on.
FORBIDDEN = {
    "crates/core": ["prost", "sea-orm", "aes-gcm", "hkdf", "hpke"],
    "crates/runtime": ["prost-types"],
    "services/routing": ["claviger-migrations", "sea-orm-migration"],
    "migrations": ["claviger-core", "claviger-crypto", "claviger-proto", "claviger-auth", "claviger-runtime"],
}
# Of these, a second version joins the tree.
SINGLE = ["tonic", "hyper", "h2", "rustls"]


def crate(folder, name, version, licence="Apache-2.0"):
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "lib.rs").write_text("")
    (folder / "Cargo.toml").write_text(
        f'[package]\nname = "{name}"\nversion = "{version}"\nedition = "2024"\nlicense = "{licence}"\n[workspace]\n')


def add(workspace, member, *lines):
    manifest = workspace / member / "Cargo.toml"
    text = manifest.read_text()
    assert text.count("\n[dependencies]\n") == 1
    manifest.write_text(text.replace("\n[dependencies]\n", "\n[dependencies]\n" + "".join(f"{line}\n" for line in lines)))


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """The workspace's manifests and empty sources; nothing is compiled."""
    if not DENY.exists():
        pytest.fail(f"{DENY} is missing: scripts/tools.sh deny")
    copy = tmp_path_factory.mktemp("workspace")
    for name in ("Cargo.toml", "Cargo.lock", "deny.toml"):
        shutil.copy(ROOT / name, copy)
    for folder in ("crates", "services", "migrations", "tests", "benches"):
        for manifest in (ROOT / folder).rglob("Cargo.toml"):
            target = copy / manifest.relative_to(ROOT)
            shutil.copytree(manifest.parent, target.parent, dirs_exist_ok=True, ignore=shutil.ignore_patterns("target", "__pycache__"))
    return copy


def check(workspace):
    """The exit code and the errors of cargo-deny."""
    done = subprocess.run(
        [DENY, "--format", "json", "check", "licenses", "bans", "sources"], cwd=workspace, capture_output=True, text=True, timeout=300, check=False)
    out = []
    for line in done.stderr.splitlines():
        entry = json.loads(line) if line.startswith("{") else {}
        if entry.get("type") == "diagnostic" and entry["fields"]["severity"] == "error":
            out.append(json.dumps(entry["fields"]))
    return done.returncode, out


@pytest.fixture(scope="module")
def broken(workspace, tmp_path_factory):
    before = check(workspace)
    assert before == (0, []), "the tree as it is passes"
    outside = tmp_path_factory.mktemp("outside")
    for name in SINGLE:
        crate(outside / name, name, "0.0.1")
    crate(outside / "copyleft", "copyleft", "0.1.0", licence="GPL-3.0-only")
    crate(outside / "from-git", "from-git", "0.1.0")
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-C", str(outside / "from-git")]
    for args in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "x"]):
        subprocess.run([*git, *args], check=True, capture_output=True, timeout=30)
    for member, names in FORBIDDEN.items():
        add(workspace, member, *(f"{name}.workspace = true" for name in names))
    add(workspace, "crates/core",
        *(f'old-{name} = {{ package = "{name}", path = "{outside / name}", version = "0.0.1" }}' for name in SINGLE),
        f'copyleft = {{ path = "{outside / "copyleft"}", version = "0.1" }}',
        f'from-git = {{ git = "file://{outside / "from-git"}", version = "0.1" }}',
        'hex = "*"')
    code, errors = check(workspace)
    assert code != 0
    return errors


@pytest.mark.parametrize("name", sorted(name for names in FORBIDDEN.values() for name in names))
def test_arrow(broken, name):
    assert [error for error in broken if '"banned"' in error and f"crate '{name} = " in error], broken


@pytest.mark.parametrize("name", SINGLE)
def test_one_version(broken, name):
    assert [error for error in broken if f"duplicate entries for crate '{name}'" in error], broken


def test_licence(broken):
    assert [error for error in broken if "GPL-3.0-only" in error and '"rejected"' in error], broken


def test_source(broken):
    assert [error for error in broken if '"source-not-allowed"' in error and "from-git" in error], broken


def test_wildcard(broken):
    # The one that the copy has is hex = "*".
    assert [error for error in broken if "found 1 wildcard dependency for crate 'claviger-core'" in error], broken


# What a crate of rules or of bytes has no business with. Bans cannot say it: these have too many parents elsewhere.
IMPURE = {"tokio", "tonic", "tower", "hyper", "http", "reqwest", "prost", "sea-orm", "rustls", "tracing", "metrics"}


def direct(text):
    """What each package of a workspace's metadata depends on directly, tests aside."""
    packages = json.loads(text)["packages"]
    return {p["name"]: {d["name"] for d in p["dependencies"] if d["kind"] != "dev"} for p in packages}


@pytest.mark.parametrize("name", ["claviger-core", "claviger-crypto"])
def test_pure(name):
    command = ["cargo", "metadata", "--no-deps", "--format-version", "1", "--locked"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    depends = direct(done.stdout)[name]
    assert depends and not depends & IMPURE, depends


def test_impurity_is_found():
    text = json.dumps({"packages": [{"name": "x", "dependencies": [
        {"name": "tokio", "kind": None}, {"name": "tonic", "kind": "dev"}]}]})
    assert direct(text)["x"] & IMPURE == {"tokio"}
