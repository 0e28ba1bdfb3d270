"""Both services as processes, on free ports, and stubs for them."""

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import grpc
from claviger.keyvault.v1.key_vault_pb2 import CreateProviderKeyRequest, GetProviderKeyRequest
from claviger.keyvault.v1.key_vault_pb2_grpc import KeyVaultStub
from claviger.keyvault.v1.provider_key_pb2 import VERIFICATION_REQUIRE, ProviderKey, Secret
from claviger.keyvault.v1.usage_pb2_grpc import UsageStub
from claviger.routing.v1.routing_pb2_grpc import RoutingStub

ROOT = Path(__file__).resolve().parents[2]
START = 30.0
Found = TypeVar("Found")


def eventually(check: Callable[[], Found], within: float = 10.0) -> Found:
    """What `check` returns as soon as none of its assertions fails."""
    deadline = time.monotonic() + within
    while True:
        try:
            return check()
        except AssertionError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.05)


def binaries() -> Path:
    """Where cargo puts them."""
    command = ["cargo", "metadata", "--no-deps", "--format-version", "1", "--locked", "--offline"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    return Path(json.loads(done.stdout)["target_directory"]) / "debug"


class Service:
    """One process, found by what it logs."""

    def __init__(self, program: str, folder: Path, settings: dict[str, str]) -> None:
        short = program.removeprefix("claviger-").upper()
        free = {f"CLAVIGER_{short}_{what}": "127.0.0.1:0" for what in ("LISTEN", "HEALTH_LISTEN", "METRICS_LISTEN")}
        self.program, self.binaries, self.log_file = program, binaries(), folder / f"{program}.log"
        with self.log_file.open("w") as log:
            self.process = subprocess.Popen(
                [self.binaries / program, "serve", "--dev"], env={**free, **settings}, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def address(self) -> str:
        """Where it serves gRPC, once it is ready."""
        return eventually(self._ready, START)

    def _ready(self) -> str:
        assert self.process.poll() is None, self.log()
        lines = (json.loads(line) for line in self.log().splitlines() if line.endswith("}"))
        listening = {line["fields"]["server"]: line["fields"]["address"] for line in lines if line["message"] == "listening"}
        assert "grpc" in listening, self.log()
        ask = [self.binaries / "claviger-keyvault", "health", "--address", listening["grpc"]]
        assert subprocess.run(ask, capture_output=True, timeout=10, check=False).returncode == 0, self.log()
        return listening["grpc"]

    def log(self) -> str:
        return self.log_file.read_text()

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


class Fleet:
    """A vault and one routing, with an operator's catalog."""

    def __init__(self, folder: Path, catalog: str) -> None:
        file = folder / "catalog.toml"
        file.write_text(catalog)
        settings = {"CLAVIGER_CATALOG_FILE": str(file), "CLAVIGER_EGRESS_ALLOW": "127.0.0.1", "CLAVIGER_DATA_DIR": str(folder)}
        self.services: list[Service] = []
        self.channels: list[grpc.Channel] = []
        try:
            vault = self.vault_address = self._start("claviger-keyvault", folder, settings)
            self.routing_address = self._start("claviger-routing", folder, {**settings, "CLAVIGER_KEYVAULT_URL": f"http://{vault}"})
        except BaseException:
            self.stop()
            raise
        self.keys, self.usage = KeyVaultStub(self._channel(vault)), UsageStub(self._channel(vault))
        self.routing = RoutingStub(self._channel(self.routing_address))

    def _start(self, program: str, folder: Path, settings: dict[str, str]) -> str:
        service = Service(program, folder, settings)
        self.services.append(service)
        return service.address()

    def _channel(self, address: str) -> grpc.Channel:
        self.channels.append(grpc.insecure_channel(address))
        return self.channels[-1]

    def store(
        self, parent: str, provider: str, secret: str, priority: int = 0, base_url: str = "",
        verification: int = VERIFICATION_REQUIRE,
    ) -> ProviderKey:
        """Stores a key, which its provider is asked about first."""
        key = ProviderKey(provider=provider, rotation_priority=priority, base_url=base_url)
        request = CreateProviderKeyRequest(
            parent=parent, provider_key=key, secret=Secret(api_key=secret), verification=verification)
        return self.keys.CreateProviderKey(request, timeout=10)

    def key(self, name: str) -> ProviderKey:
        """As it is now."""
        return self.keys.GetProviderKey(GetProviderKeyRequest(name=name), timeout=10)

    def stop(self) -> None:
        for channel in self.channels:
            channel.close()
        for service in reversed(self.services):
            service.stop()
