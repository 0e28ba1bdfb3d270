"""The classic question, as ops ask it: one grpcurl."""

import json
import subprocess
import uuid

from services import ROOT, Fleet

GRPCURL = ROOT / ".tools/bin/grpcurl"


def ask(address: str, method: str, request: dict) -> dict:
    """One call through server reflection, as a person pastes it."""
    line = [GRPCURL, "-plaintext", "-d", json.dumps(request), address, method]
    return json.loads(subprocess.run(line, capture_output=True, text=True, timeout=20, check=True).stdout)


def test_one_grpcurl_tells_why_an_agent_still_uses_the_platforms_key(metered: Fleet, provider) -> None:
    workspace = f"workspaces/why-{uuid.uuid4().hex[:8]}"
    own = metered.store(workspace, "openai", provider.key("sk-proj-"))
    route = {"name": f"{workspace}/agents/writer/route", "mode": "AGENT_MODE_METERED"}
    ask(metered.vault_address, "claviger.keyvault.v1.Workspaces/SetAgentRoute", {"agent_route": route})
    why = {"workspace": workspace, "agent": "writer", "provider": "openai"}
    said = ask(metered.routing_address, "claviger.routing.v1.Routing/ExplainRoute", why)
    assert (said["winner"]["source"], said["winner"]["fallback"]) == ("SOURCE_PLATFORM_KEY", "FALLBACK_METERED")
    assert said["directive"] == "DIRECTIVE_AGENT_ROUTE"
    [change] = said["changes"]
    assert change["key"]["uid"] == own.uid
    assert change["verdicts"] == ["VERDICT_METERED"]
    assert change["message"] == "let the agent use own keys (SetAgentRoute, mode = AUTO or BYOK)"
    # and that helps
    byok = {**route, "mode": "AGENT_MODE_BYOK", "provider": "openai"}
    ask(metered.vault_address, "claviger.keyvault.v1.Workspaces/SetAgentRoute", {"agent_route": byok})
    assert ask(metered.routing_address, "claviger.routing.v1.Routing/ExplainRoute", why)["winner"]["key"]["uid"] == own.uid
