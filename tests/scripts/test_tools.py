"""scripts/tools.sh says in one line what it lacks, and leaves alone what is up to date."""

import shutil
import subprocess

import pytest

BASICS = ["bash", "sh", "cat", "cksum", "dirname", "mkdir", "mktemp", "rm"]


@pytest.fixture
def machine(tmp_path, root):
    path = tmp_path / "bin"
    path.mkdir()
    for tool in BASICS:
        (path / tool).symlink_to(shutil.which(tool))
    shutil.copytree(root / "scripts", tmp_path / "scripts")
    return tmp_path


def put(machine, name, script):
    tool = machine / "bin" / name
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)


def run(machine, *args):
    return subprocess.run(
        ["bash", str(machine / "scripts" / "tools.sh"), *args],
        env={"PATH": str(machine / "bin"), "HOME": str(machine)}, capture_output=True, text=True, timeout=60, check=False,
    )


@pytest.mark.parametrize(("part", "line"), [
    ("python", "tools: python3 is missing: apt-get install python3 python3-venv"),
    ("go", "tools: go is missing (helm and grpcurl are built with it): install Go 1.26 or newer from go.dev"),
    ("deny", "tools: cargo is missing: install Rust from rustup.rs"),
    ("everything", "tools: usage: scripts/tools.sh python|go|deny|all"),
])
def test_what_is_missing(machine, part, line):
    done = run(machine, part)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [line]


def test_python_without_venv(machine):
    put(machine, "python3", 'case "$1" in --version) echo Python 3.11.2;; *) exit 1;; esac')
    done = run(machine, "python")
    assert done.returncode == 1
    assert done.stderr.splitlines() == ["tools: python3 has no venv module: apt-get install python3-venv"]


def test_installs_once_and_again_for_a_new_version(machine):
    put(machine, "go", 'echo "$2" >>"$GOBIN/../calls"; for b in helm grpcurl; do echo >"$GOBIN/$b"; chmod +x "$GOBIN/$b"; done')
    (machine / "bin" / "chmod").symlink_to(shutil.which("chmod"))
    (machine / ".tools" / "bin").mkdir(parents=True)

    def calls():
        assert run(machine, "go").returncode == 0
        return len((machine / ".tools" / "calls").read_text().splitlines())

    assert calls() == 2
    assert calls() == 2, "installed again for nothing"
    script = machine / "scripts" / "tools.sh"
    script.write_text(script.read_text().replace("GRPCURL=github", "GRPCURL=new.github"))
    assert calls() == 4, "a new version was not installed"
    (machine / ".tools" / "bin" / "helm").unlink()
    assert calls() == 6, "a lost binary was not installed again"


def test_a_failed_install_leaves_no_stamp(machine):
    put(machine, "go", "echo the reason; exit 1")
    done = run(machine, "go")
    assert done.returncode == 1
    assert "the reason" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("tools: could not install ")
    assert not (machine / ".tools" / "stamps" / "go").exists()
