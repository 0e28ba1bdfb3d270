"""scripts/preflight.sh on machines that lack something: a PATH of links to just the tools that it is to find."""

import shutil
import subprocess

import pytest

# What the script itself calls.
BASICS = ["sh", "sed", "head", "dirname"]


@pytest.fixture
def machine(tmp_path, root):
    """A copy of the checkout's part that matters, and an empty PATH to fill."""
    path = tmp_path / "bin"
    path.mkdir()
    for tool in BASICS:
        (path / tool).symlink_to(shutil.which(tool))
    (tmp_path / "scripts").mkdir()
    shutil.copy(root / "scripts" / "preflight.sh", tmp_path / "scripts")
    (tmp_path / "Cargo.toml").write_text('[workspace.package]\nversion = "9.9.9"\nrust-version = "1.94" # why\n')
    return tmp_path


def put(machine, name, says="", code=0):
    tool = machine / "bin" / name
    tool.write_text(f"#!/bin/sh\necho '{says}'\nexit {code}\n")
    tool.chmod(0o755)


def run(machine, *arguments, **env):
    done = subprocess.run(
        ["sh", str(machine / "scripts" / "preflight.sh"), *arguments],
        env={"PATH": str(machine / "bin"), **env}, capture_output=True, text=True, timeout=30, check=False,
    )
    assert done.stdout == ""
    return done.returncode, done.stderr.splitlines()


def rust(machine, version):
    put(machine, "cargo")
    put(machine, "rustc", f"rustc {version} (abcdef 2026-01-01)")


@pytest.mark.parametrize("version", ["1.94.0", "1.95.0", "1.100.1", "2.0.0", "1.96.0-nightly"])
def test_nothing_missing(machine, version):
    put(machine, "cc")
    rust(machine, version)
    assert run(machine) == (0, [])


def test_everything_missing_is_said_at_once(machine):
    code, lines = run(machine)
    assert code == 1
    assert lines == [
        "missing: Rust 1.94 or newer: install it from https://rustup.rs (rustup toolchain install stable)",
        "missing: a C compiler (cc): apt-get install build-essential, dnf install gcc, or xcode-select --install",
    ]


@pytest.mark.parametrize("version", ["1.93.1", "1.9.0", "0.99.0"])
def test_old_rust(machine, version):
    put(machine, "cc")
    rust(machine, version)
    short = version.rsplit(".", 1)[0]
    assert run(machine) == (1, [f"missing: Rust 1.94 or newer (this is {short}): rustup update stable"])


def test_rustc_without_cargo(machine):
    put(machine, "cc")
    put(machine, "rustc", "rustc 1.95.0")
    code, lines = run(machine)
    assert code == 1
    assert lines[0].startswith("missing: Rust 1.94 or newer: install it")


def test_rustup_without_a_toolchain(machine):
    put(machine, "cc")
    put(machine, "cargo")
    put(machine, "rustc", "error: no default toolchain", code=1)
    code, lines = run(machine)
    assert code == 1
    assert lines == ["missing: a working rustc (rustc --version fails): rustup toolchain install stable"]


@pytest.mark.parametrize("compiler", ["cc", "gcc", "clang"])
def test_any_usual_compiler_will_do(machine, compiler):
    rust(machine, "1.95.0")
    assert run(machine)[0] == 1
    put(machine, compiler)
    assert run(machine) == (0, [])


def test_compiler_named_by_cc(machine):
    rust(machine, "1.95.0")
    put(machine, "zig-cc")
    assert run(machine, CC="zig-cc") == (0, [])


def test_the_real_manifest_is_understood(machine, root):
    """The script reads the version from the real Cargo.toml, and 1.0 is too old for it."""
    shutil.copy(root / "Cargo.toml", machine)
    put(machine, "cc")
    rust(machine, "1.0.0")
    code, lines = run(machine)
    assert code == 1
    assert "or newer (this is 1.0)" in lines[0]


def test_what_the_tests_back_databases_up_with(machine):
    tools = ["sqlite3", "pg_dump", "pg_restore"]
    for tool in tools[:2]:
        put(machine, tool)
    assert run(machine, "tests") == (1, [
        "missing: pg_restore: apt-get install postgresql-client, dnf install postgresql, or brew install postgresql",
    ])
    (machine / "bin" / "sqlite3").unlink()
    put(machine, "pg_restore")
    assert run(machine, "tests") == (1, [
        "missing: sqlite3: apt-get install sqlite3, dnf install sqlite, or brew install sqlite",
    ])
    put(machine, "sqlite3")
    assert run(machine, "tests") == (0, [])


def test_another_word_is_refused(machine):
    assert run(machine, "test") == (2, ["usage: scripts/preflight.sh [tests]"])
