"""Renders the chart with a real Helm."""

import os
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = Path(os.environ.get("CLAVIGER_CHART", ROOT / "helm" / "claviger"))
HELM = ROOT / ".tools" / "bin" / "helm"
VALUES = Path(__file__).parent / "values"
# One file each; every property is checked for all of them.
VALUE_SETS = sorted(path.stem for path in VALUES.glob("*.yaml"))


def helm(*args, chart=CHART, check=True, values=None, command="template"):
    """Runs Helm; returns what it printed, or the whole result where a failure is expected."""
    if not HELM.exists():
        pytest.fail(f"{HELM} is missing: scripts/tools.sh go")
    name = [] if command == "lint" or "--name-template" in args else ["claviger"]
    files = ["--values", str(VALUES / f"{values}.yaml")] if values else []
    done = subprocess.run(
        [str(HELM), command, *name, str(chart), "--namespace", "byok", *files, *args],
        capture_output=True, text=True, timeout=60, check=False,
    )
    if not check:
        return done
    assert done.returncode == 0, done.stderr
    return done.stdout


def parse(text):
    return [doc for doc in yaml.safe_load_all(text) if doc]


def render(values, *args):
    return parse(helm(*args, values=values))


def of_kind(objects, *kinds):
    return [obj for obj in objects if obj["kind"] in kinds]


def one(objects, kind, name):
    found = [obj for obj in objects if obj["kind"] == kind and obj["metadata"]["name"] == name]
    assert len(found) == 1, f"{kind} {name}: {len(found)} of them"
    return found[0]


def pods(objects):
    """The pod of each workload and each bare pod, as (name, metadata, spec)."""
    out = []
    for obj in objects:
        name = f"{obj['kind']}/{obj['metadata']['name']}"
        if obj["kind"] == "Pod":
            out.append((name, obj["metadata"], obj["spec"]))
        elif "template" in obj.get("spec", {}):
            template = obj["spec"]["template"]
            out.append((name, template.get("metadata", {}), template["spec"]))
    assert out, "no pods rendered"
    return out


def matches(selector, labels):
    assert set(selector) <= {"matchLabels"}, f"selector not understood: {selector}"
    return selector["matchLabels"].items() <= labels.items()
