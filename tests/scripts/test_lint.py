"""Linters over the scripts and the Dockerfile, and what no linter knows about the image."""

import fnmatch
import subprocess
import tomllib

from places import TOOLS


def tool(name, *args):
    done = subprocess.run([TOOLS / "venv" / "bin" / name, *args], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def stages(root):
    """The Dockerfile's instructions as words, by stage."""
    out = []
    text = (root / "Dockerfile").read_text().replace("\\\n", " ")
    for line in text.splitlines():
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if words[0] == "FROM":
            out.append([])
        out[-1].append(words)
    return out


def instructions(stage, name):
    return [words[1:] for words in stage if words[0] == name]


def test_scripts_are_clean(root):
    scripts = sorted((root / "scripts").glob("*.sh"))
    assert len(scripts) >= 4
    tool("shellcheck", *scripts)


def test_dockerfile_is_clean(root):
    tool("hadolint", "--failure-threshold", "style", root / "Dockerfile")


def test_base_images_have_exact_tags(root):
    for stage in stages(root):
        image = instructions(stage, "FROM")[0][0]
        assert ":" in image and not image.endswith(":latest"), image


def test_builder_is_new_enough_and_of_the_final_images_debian(root):
    build, final = stages(root)
    manifest = tomllib.loads((root / "Cargo.toml").read_text())
    tag, debian = instructions(build, "FROM")[0][0].removeprefix("rust:").split("-")
    wanted = manifest["workspace"]["package"]["rust-version"]
    assert [int(n) for n in tag.split(".")] >= [int(n) for n in wanted.split(".")]
    assert (debian, instructions(final, "FROM")[0][0]) == ("bookworm", "gcr.io/distroless/cc-debian12:nonroot")


def test_final_image_runs_no_shell_and_no_root(root):
    final = stages(root)[-1]
    assert instructions(final, "USER") == [["65532:65532"]]
    assert not instructions(final, "RUN"), "there is no shell to run it"
    assert not instructions(final, "ENTRYPOINT"), "the command chooses the binary"
    assert instructions(final, "CMD")[0][0].startswith("["), "the shell form needs a shell"
    assert not instructions(final, "ARG") and not instructions(final, "ENV")


def test_build_is_locked_and_makes_both_binaries(root):
    build = " ".join(word for words in instructions(stages(root)[0], "RUN") for word in words)
    assert "cargo build --release --locked" in build
    for binary in ("claviger-keyvault", "claviger-routing"):
        assert f"--package {binary}" in build
        assert f"target/release/{binary}" in build


def test_context_holds_the_workspace_and_no_more(root):
    lines = [line for line in (root / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*", "an allow list: what is not named stays out"
    allowed = [line[1:] for line in lines if line.startswith("!")]
    assert {"Cargo.toml", "Cargo.lock", "proto"} <= set(allowed)
    members = tomllib.loads((root / "Cargo.toml").read_text())["workspace"]["members"]
    for member in members:
        needed = f"{member.removesuffix('/*')}/Cargo.toml"
        assert any(needed == a or fnmatch.fnmatch(needed, f"{a}/*") for a in allowed), f"{member} is not in the context"
    assert not {".git", ".tools", ".data", "target"} & set(allowed)
