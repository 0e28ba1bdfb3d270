"""The SDKs of OpenAI and Anthropic, called through examples/python/claviger_call.py, with both services as processes."""

import contextlib
import re
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import anthropic
import grpc
import openai
import pytest
from claviger.keyvault.v1.provider_key_pb2 import VERIFICATION_SKIP, KeyHealth, KeyTest, ProviderKey
from claviger.keyvault.v1.usage_pb2 import (
    OUTCOME_BAD_REQUEST, OUTCOME_CLIENT_ABORTED, OUTCOME_INVALID_KEY, OUTCOME_NETWORK_ERROR, OUTCOME_OK, OUTCOME_OVERLOADED,
    OUTCOME_QUOTA_EXHAUSTED, OUTCOME_RATE_LIMITED, OUTCOME_SERVER_ERROR, PAYER_PLATFORM_KEY, PAYER_WORKSPACE_KEY,
    USAGE_DIMENSION_KEY, USAGE_DIMENSION_MODEL, USAGE_DIMENSION_PAYER, ListCallersRequest, QueryUsageRequest, UsageRow)
from claviger.keyvault.v1.workspaces_pb2 import FALLBACK_CONSENT_NEVER
from claviger.routing.v1.routing_pb2 import Candidate, ResolveKeyRequest
from claviger_call import call, stream
from dialects import INPUT_TOKENS, OUTPUT_TOKENS, TEXT
from provider import Provider
from services import ROOT, START, Fleet, eventually

ANSWER = "".join(TEXT)
OWN = "the-platforms-own"
MESSAGES: list[Any] = [{"role": "user", "content": "Say hello"}]


@dataclass(frozen=True)
class Sdk:
    """What differs from one SDK to the other."""

    provider: str
    prefix: str
    model: str
    client: Callable[..., Any]
    # how the platform's own credential, which no provider may see, is given to a client
    own: dict[str, str]
    errors: Any
    # how long a rate-limited key is to rest
    rest: float

    def ask(self, fleet: Fleet, need: ResolveKeyRequest, timeout: float = 10, tokens: int = 500) -> str:
        """One call, answered as a whole."""
        client = self.client(**self.own, timeout=timeout)
        answer = call(fleet.routing, need, client, lambda c, model: self._send(c, model, tokens, False))
        return answer.choices[0].message.content if self.provider == "openai" else answer.content[0].text

    def listen(self, fleet: Fleet, need: ResolveKeyRequest) -> Iterator[str]:
        """The same as a stream: the parts of the text."""
        heard = stream(fleet.routing, need, self.client(**self.own), lambda c, model: self._send(c, model, 500, True))
        with contextlib.closing(heard) as parts:
            for part in parts:
                if self.provider == "openai":
                    yield from (choice.delta.content for choice in part.choices if choice.delta.content)
                elif part.type == "content_block_delta":
                    yield part.delta.text

    def _send(self, client: Any, model: str, tokens: int, streamed: bool) -> Any:
        if self.provider == "anthropic":
            return client.messages.create(model=model, max_tokens=tokens, stream=streamed, messages=MESSAGES)
        more = {"stream_options": {"include_usage": True}} if streamed else {}
        return client.chat.completions.create(model=model, max_completion_tokens=tokens, stream=streamed, messages=MESSAGES, **more)


SDKS = [
    Sdk("openai", "sk-proj-", "gpt-5.5", openai.OpenAI, {"api_key": OWN}, openai, 18.642),
    Sdk("anthropic", "sk-ant-api03-", "claude-sonnet-5", anthropic.Anthropic, {"auth_token": OWN}, anthropic, 17),
]


@pytest.fixture(name="sdk", params=SDKS, ids=lambda sdk: sdk.provider)
def _sdk(request):
    return request.param


class Stage:
    """A workspace with keys of its own, the first to be tried first."""

    def __init__(self, fleet: Fleet, provider: Provider, sdk: Sdk, moods: Iterable[str]) -> None:
        self.fleet, self.provider, self.sdk = fleet, provider, sdk
        self.workspace = f"workspaces/w{uuid.uuid4().hex}"
        self.need = ResolveKeyRequest(workspace=self.workspace, user="ann", agent="writer", session="s1", model=sdk.model)
        self.secrets: list[str] = []
        self.names: list[str] = []
        for place, mood in enumerate(moods):
            secret = provider.key(sdk.prefix)
            self.names.append(fleet.store(self.workspace, sdk.provider, secret, place).name)
            self.secrets.append(secret)
            provider.moods[secret] = mood  # its provider found it good while it was stored

    def key(self, place: int) -> ProviderKey:
        return self.fleet.key(self.names[place])

    def called(self) -> list[int]:
        """How often the provider was called with each key."""
        return self.provider.called(*self.secrets)

    def verdicts(self) -> list[str]:
        """What the next call would make of each key."""
        candidates = self.fleet.routing.ExplainRoute(self.need, timeout=10).candidates
        return [Candidate.Verdict.Name(candidate.verdict).removeprefix("VERDICT_") for candidate in candidates]

    def usage(self, *group_by: Any) -> list[UsageRow]:
        request = QueryUsageRequest(parent=self.workspace, group_by=group_by)
        return list(self.fleet.usage.QueryUsage(request, timeout=10).rows)

    def outcomes(self, *expected: int) -> UsageRow:
        """Waits until exactly these outcomes are counted, each once for each time that it is named; the sum of all calls."""
        def counted() -> UsageRow:
            (row,) = self.usage()
            assert row.calls == len(expected), row
            assert outcomes(row) == {outcome: expected.count(outcome) for outcome in expected}
            return row

        return eventually(counted)


def outcomes(row: UsageRow) -> dict[int, int]:
    return {each.outcome: each.count for each in row.outcomes}


@pytest.fixture(name="stage")
def _stage(fleet, provider, sdk):
    return lambda *moods: Stage(fleet, provider, sdk, moods)


@pytest.mark.parametrize("way", ["whole", "streamed"])
def test_the_third_key_answers_after_a_limited_and_an_invalid_one(stage, provider, sdk, way):
    stage = stage("limited", "invalid", "good")
    answer = sdk.ask(stage.fleet, stage.need) if way == "whole" else "".join(sdk.listen(stage.fleet, stage.need))
    assert answer == ANSWER
    assert stage.called() == [1, 1, 1], "each key once: the SDK does not try again by itself"
    assert_headers(stage)
    assert_keys(stage)
    assert_usage(stage)
    assert stage.verdicts() == ["COOLING", "INVALID", "CHOSEN"]


def assert_headers(stage: Stage) -> None:
    """The credential is the resolution's alone, and the version of the protocol the SDK's."""
    calls = [request for request in stage.provider.requests if request.method == "POST" and request.secret in stage.secrets]
    version = stage.sdk.client(**stage.sdk.own).default_headers.get("anthropic-version")
    assert [request.headers.get("anthropic-version") for request in calls] == [version] * 3
    assert not [request for request in calls if OWN in str(request.headers)]


def assert_keys(stage: Stage) -> None:
    def settled() -> None:
        limited, invalid, good = (stage.key(place) for place in range(3))
        health = limited.health
        assert (limited.state, health.status) == (ProviderKey.STATE_ACTIVE, KeyHealth.STATUS_PARTLY_COOLING), limited
        (cooldown,) = health.cooldowns
        assert (cooldown.model, cooldown.cause) == (stage.sdk.model, OUTCOME_RATE_LIMITED)
        rest = cooldown.end_time.ToNanoseconds() - cooldown.start_time.ToNanoseconds()
        assert abs(rest / 1e9 - stage.sdk.rest) < 0.01, "as long as the provider says"
        assert health.last_outcome == OUTCOME_RATE_LIMITED
        assert invalid.state == ProviderKey.STATE_INVALID, invalid
        assert (invalid.last_test.result, invalid.last_test.http_status) == (KeyTest.RESULT_INVALID, 401)
        assert (good.state, good.health.status) == (ProviderKey.STATE_ACTIVE, KeyHealth.STATUS_HEALTHY), good
        assert good.health.last_outcome == OUTCOME_OK
        for key in (limited, invalid, good):
            assert key.last_use_time.ToNanoseconds() > key.create_time.ToNanoseconds()

    eventually(settled)
    tested = [[line.startswith("GET /v1/models") for line in stage.provider.seen(secret)].count(True) for secret in stage.secrets]
    assert tested == [1, 2, 1], "when stored; and the vault asked about the reported one itself"


def assert_usage(stage: Stage) -> None:
    total = stage.outcomes(OUTCOME_RATE_LIMITED, OUTCOME_INVALID_KEY, OUTCOME_OK)
    assert (total.input_tokens, total.output_tokens, float(total.credits)) == (INPUT_TOKENS, OUTPUT_TOKENS, 0)
    rows = {row.key_uid: row for row in stage.usage(USAGE_DIMENSION_KEY, USAGE_DIMENSION_PAYER, USAGE_DIMENSION_MODEL)}
    spent = [(0, 0), (0, 0), (INPUT_TOKENS, OUTPUT_TOKENS)]
    for name, outcome, tokens in zip(stage.names, (OUTCOME_RATE_LIMITED, OUTCOME_INVALID_KEY, OUTCOME_OK), spent, strict=True):
        row = rows.pop(name.rsplit("/", 1)[1])
        assert (row.calls, outcomes(row), row.payer, row.model) == (1, {outcome: 1}, PAYER_WORKSPACE_KEY, stage.sdk.model)
        assert (row.input_tokens, row.output_tokens) == tokens
        (caller,) = stage.fleet.usage.ListCallers(ListCallersRequest(key=name), timeout=10).callers
        assert (caller.workspace, caller.user, caller.agent, caller.session) == (stage.workspace, "ann", "writer", "s1")
        assert caller.calls == 1 and caller.first_use_time == caller.last_use_time
    assert not rows


def test_an_overloaded_provider_rests_the_key_after_the_third_time(stage, sdk):
    stage = stage("overloaded", "good")
    for _ in range(3):
        assert stage.verdicts() == ["CHOSEN", "ELIGIBLE"]
        assert sdk.ask(stage.fleet, stage.need) == ANSWER
    assert stage.verdicts() == ["COOLING", "CHOSEN"]
    assert sdk.ask(stage.fleet, stage.need) == ANSWER
    assert stage.called() == [3, 4]
    stage.outcomes(*[OUTCOME_OVERLOADED] * 3, *[OUTCOME_OK] * 4)


@pytest.mark.parametrize("mood", ["broke", "spent"])
def test_a_key_without_credit_rests_for_all_models_as_the_error_s_text_tells(stage, sdk, mood):
    stage = stage(mood, "good")
    assert sdk.ask(stage.fleet, stage.need) == ANSWER
    stage.outcomes(OUTCOME_QUOTA_EXHAUSTED, OUTCOME_OK)
    (cooldown,) = eventually(lambda: resting(stage.key(0))).cooldowns
    assert (cooldown.model, cooldown.cause) == ("", OUTCOME_QUOTA_EXHAUSTED)


def resting(key: ProviderKey) -> KeyHealth:
    assert key.health.status == KeyHealth.STATUS_COOLING, key
    return key.health


def test_the_next_key_steps_in_where_nobody_answers(fleet, provider, sdk):
    stage = Stage(fleet, provider, sdk, [])
    with socket.create_server(("127.0.0.1", 0)) as server:
        nowhere = f"http://127.0.0.1:{server.getsockname()[1]}"
    fleet.store(stage.workspace, sdk.provider, provider.key(sdk.prefix), base_url=nowhere, verification=VERIFICATION_SKIP)
    fleet.store(stage.workspace, sdk.provider, provider.key(sdk.prefix), priority=1)
    assert sdk.ask(fleet, stage.need) == ANSWER
    stage.outcomes(OUTCOME_NETWORK_ERROR, OUTCOME_OK)


def test_a_bad_request_is_nobody_else_s_and_no_key_s_fault(stage, sdk):
    stage = stage("good", "good")
    for _ in range(4):
        with pytest.raises(sdk.errors.BadRequestError):
            sdk.ask(stage.fleet, stage.need, tokens=0)
    assert_no_penalty(stage, OUTCOME_BAD_REQUEST, 4)


def test_a_caller_that_gives_up_blames_no_key(stage, sdk):
    stage = stage("slow", "good")
    for _ in range(4):
        with pytest.raises(sdk.errors.APITimeoutError):
            sdk.ask(stage.fleet, stage.need, timeout=0.1)
    assert_no_penalty(stage, OUTCOME_CLIENT_ABORTED, 4)


def test_a_stream_that_is_not_read_to_its_end_blames_no_key(stage, sdk):
    stage = stage("good", "good")
    for _ in range(4):
        parts = sdk.listen(stage.fleet, stage.need)
        assert next(parts) == TEXT[0]
        parts.close()
    assert_no_penalty(stage, OUTCOME_CLIENT_ABORTED, 4)


def assert_no_penalty(stage: Stage, outcome: int, times: int) -> None:
    assert stage.called() == [times, 0], "no other key was tried"
    stage.outcomes(*[outcome] * times)
    assert stage.verdicts() == ["CHOSEN", "ELIGIBLE"]
    key = stage.key(0)
    assert (key.state, key.health.status) == (ProviderKey.STATE_ACTIVE, KeyHealth.STATUS_HEALTHY), key


def test_a_stream_that_breaks_off_is_reported_and_not_begun_again(stage, sdk):
    stage = stage("cut", "good")
    parts = sdk.listen(stage.fleet, stage.need)
    assert next(parts) == TEXT[0]
    with pytest.raises(sdk.errors.APIError):
        next(parts)
    assert stage.called() == [1, 0]
    stage.outcomes(OUTCOME_SERVER_ERROR)


def test_when_no_key_is_left_the_provider_s_error_is_the_caller_s_and_then_claviger_s(stage, sdk):
    stage = stage("limited", "limited")
    with pytest.raises(sdk.errors.RateLimitError):
        sdk.ask(stage.fleet, stage.need)
    assert stage.called() == [1, 1]
    with pytest.raises(grpc.RpcError) as refused:
        sdk.ask(stage.fleet, stage.need)
    assert refused.value.code() == grpc.StatusCode.UNAVAILABLE, refused
    assert stage.called() == [1, 1]
    stage.outcomes(OUTCOME_RATE_LIMITED, OUTCOME_RATE_LIMITED)


def test_the_platform_pays_when_all_own_keys_fail_and_charges_by_its_prices(metered, provider, sdk):
    stage = Stage(metered, provider, sdk, ["limited", "invalid"])
    assert sdk.ask(metered, stage.need) == ANSWER
    assert stage.called() == [1, 1]
    stage.outcomes(OUTCOME_RATE_LIMITED, OUTCOME_INVALID_KEY, OUTCOME_OK)
    own, platform = sorted(stage.usage(USAGE_DIMENSION_PAYER), key=lambda row: row.payer)
    assert (own.payer, own.calls, own.input_tokens) == (PAYER_WORKSPACE_KEY, 2, 0)
    assert float(own.credits) == 0.002, "the fee, for each key that was handed out"
    assert (platform.payer, platform.calls) == (PAYER_PLATFORM_KEY, 1)
    assert (platform.input_tokens, platform.output_tokens, platform.unpriced_calls) == (INPUT_TOKENS, OUTPUT_TOKENS, 0)
    tokens = {"openai": 1.2 * 0.25 + 0.3 * 2, "anthropic": 1.2 * 0.5 + 0.3 * 4}[sdk.provider]
    assert float(platform.credits) == pytest.approx(tokens + 0.001, abs=1e-9)


def test_the_platform_does_not_pay_without_consent(metered, provider, sdk):
    stage = Stage(metered, provider, sdk, ["limited"])
    stage.need.fallback_consent = FALLBACK_CONSENT_NEVER
    with pytest.raises(sdk.errors.RateLimitError):
        sdk.ask(metered, stage.need)
    assert {row.payer for row in eventually(lambda: filled(stage.usage(USAGE_DIMENSION_PAYER)))} == {PAYER_WORKSPACE_KEY}


def filled(rows: list[UsageRow]) -> list[UsageRow]:
    assert rows
    return rows


def test_a_lost_report_costs_nobody_an_answer(brief, provider):
    stage = Stage(brief, provider, SDKS[0], ["good"])

    def send(client: openai.OpenAI, model: str) -> Any:
        brief.services[1].stop()
        return client.chat.completions.create(model=model, messages=MESSAGES)

    answer = call(brief.routing, stage.need, openai.OpenAI(api_key="-"), send)
    assert answer.choices[0].message.content == ANSWER


def test_what_was_handed_out_is_counted_although_routing_stops_right_after(brief, provider):
    stage = Stage(brief, provider, SDKS[0], ["good"])
    assert SDKS[0].ask(brief, stage.need) == ANSWER
    start = time.monotonic()
    brief.services[1].stop()
    assert time.monotonic() - start < 2, "it waits for no more than the vault's answer"
    stage.outcomes(OUTCOME_OK)


def test_the_example_runs_as_its_readme_says(stage, sdk):
    stage = stage("limited", "good")
    readme = (ROOT / "examples" / "python" / "README.md").read_text()
    (line,) = re.findall(rf"^ +(\S+ \S+/claviger_call\.py {sdk.provider} .*)$", readme, re.MULTILINE)
    where = f"--workspace {stage.workspace.removeprefix('workspaces/')} --routing {stage.fleet.routing_address}"
    script = f"export PYTHONPATH=.tools/stubs; {line} {where}"
    done = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=START, check=False)
    assert done.stdout == f"{ANSWER}\n", done.stderr
    slug = sdk.provider
    assert done.stderr.splitlines() == [
        f"{sdk.model}, key {slug} (SOURCE_WORKSPACE_KEY): OUTCOME_RATE_LIMITED",
        f"{sdk.model}, key {slug}-2 (SOURCE_WORKSPACE_KEY): OUTCOME_OK",
    ]
    for secret in stage.secrets:
        assert secret not in done.stdout + done.stderr
