"""The stubs, the provider and the services that the tests of this folder share."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STUBS = ROOT / ".tools" / "stubs"

CATALOG = """
{fees}

[[provider]]
id = "openai"
base_url = {{ default = "{url}/v1" }}

[[provider.price]]
models = ["gpt-*"]
input_per_1000 = "0.25"
output_per_1000 = "2"

[[provider]]
id = "anthropic"
base_url = {{ default = "{url}" }}

[[provider.price]]
models = ["claude-*"]
input_per_1000 = "0.5"
output_per_1000 = "4"
"""


def pytest_configure() -> None:
    """Before the tests are imported: they import the stubs and the example."""
    subprocess.run([ROOT / "scripts" / "stubs.sh", STUBS], check=True, capture_output=True, timeout=60)
    sys.path[:0] = [str(STUBS), str(ROOT / "examples" / "python")]


@pytest.fixture(name="provider", scope="session")
def _provider():
    from provider import Provider

    provider = Provider()
    yield provider
    provider.server.shutdown()


@pytest.fixture(name="fleet", scope="session")
def _fleet(provider, tmp_path_factory):
    """Without platform keys and fees."""
    yield from running(tmp_path_factory.mktemp("fleet"), catalog(provider.url))


@pytest.fixture(name="metered", scope="session")
def _metered(provider, tmp_path_factory):
    """With fees, and a platform key of each provider."""
    for fleet in running(tmp_path_factory.mktemp("metered"), catalog(provider.url, '[fees]\nper_call = "0.001"')):
        fleet.store("platform", "openai", provider.key("sk-proj-"))
        fleet.store("platform", "anthropic", provider.key("sk-ant-api03-"))
        yield fleet


@pytest.fixture(name="brief")
def _brief(provider, tmp_path):
    """For a test that stops it."""
    yield from running(tmp_path, catalog(provider.url))


def catalog(url: str, fees: str = "") -> str:
    """An operator's, with the provider at its address."""
    return CATALOG.format(url=url, fees=fees)


def running(folder: Path, text: str) -> Iterator[object]:
    from services import Fleet

    fleet = Fleet(folder, text)
    yield fleet
    fleet.stop()
