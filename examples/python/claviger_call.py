"""One call to an AI provider, through its own SDK, with the keys that Claviger hands out.

    routing = RoutingStub(grpc.insecure_channel("127.0.0.1:50052"))
    need = ResolveKeyRequest(workspace="workspaces/acme", agent="writer", model="gpt-5.5")
    answer = call(routing, need, OpenAI(api_key="-"),
                  lambda openai, model: openai.chat.completions.create(model=model, messages=[...]))

Each attempt is: ResolveKey, the SDK's call, ReportOutcome. When the key is at fault, the next one gets its turn.
"""

import argparse
import logging
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import grpc
import httpx2  # what the SDKs of OpenAI and Anthropic send with
from claviger.keyvault.v1.usage_pb2 import (
    OUTCOME_CLIENT_ABORTED, OUTCOME_FORBIDDEN, OUTCOME_INVALID_KEY, OUTCOME_NETWORK_ERROR, OUTCOME_OK, OUTCOME_OVERLOADED,
    OUTCOME_QUOTA_EXHAUSTED, OUTCOME_RATE_LIMITED, OUTCOME_SERVER_ERROR, OUTCOME_UNSPECIFIED, Outcome)
from claviger.routing.v1.routing_pb2 import (
    CallUsage, Header, HttpFacts, ReportOutcomeRequest, Resolution, ResolveKeyRequest, Source)
from claviger.routing.v1.routing_pb2_grpc import RoutingStub

if TYPE_CHECKING:
    from anthropic import Anthropic
    from openai import OpenAI

log = logging.getLogger("claviger")

# After these another key may do. After the others (a bad request, the caller's own giving up) none would.
NEXT_KEY = {
    OUTCOME_INVALID_KEY, OUTCOME_FORBIDDEN, OUTCOME_QUOTA_EXHAUSTED, OUTCOME_RATE_LIMITED,
    OUTCOME_OVERLOADED, OUTCOME_SERVER_ERROR, OUTCOME_NETWORK_ERROR}

Client = TypeVar("Client", "OpenAI", "Anthropic")
Answer = TypeVar("Answer")


def call(routing: RoutingStub, need: ResolveKeyRequest, client: Client, send: Callable[[Client, str], Answer]) -> Answer:
    """What `send` answers, given a client with a key and the model to ask for.

    Raises the SDK's error when no key is left or none would help, and grpc.RpcError when Claviger hands out none.
    """
    (answer,) = stream(routing, need, client, lambda client, model: [send(client, model)])
    return answer


def stream(
    routing: RoutingStub, need: ResolveKeyRequest, client: Client, send: Callable[[Client, str], Iterable[Answer]],
) -> Generator[Answer, None, None]:
    """The same, part by part. Once a part was yielded, no other key takes over: a failure is reported and raised.

    Close it (contextlib.closing) where it may not be read to its end: the outcome is reported then.
    """
    ask = ResolveKeyRequest()
    ask.CopyFrom(need)
    failure: BaseException | None = None
    while True:
        try:
            resolution = routing.ResolveKey(ask, timeout=10)
        except grpc.RpcError as refusal:
            raise refusal from failure
        usage, begun = CallUsage(), False
        try:
            for part in send(with_key(client, resolution), resolution.model):
                count(usage, part)
                begun = True
                yield part
        except BaseException as error:  # whatever it is, its outcome is reported
            outcome = report(routing, resolution, usage, **result(error))
            if begun or outcome not in NEXT_KEY or not resolution.remaining_candidates:
                raise
            failure = error
            ask.exclude_key_ids.append(resolution.key.uid)
        else:
            report(routing, resolution, usage, outcome=OUTCOME_OK)
            return


def with_key(client: Client, resolution: Resolution) -> Client:
    """The client with the resolution's key and destination; it keeps its connections and everything else."""
    credential = resolution.credential
    return client.with_options(
        api_key="-",  # instead of any credential that the client came with: the headers have the right one
        base_url=resolution.base_url or None,
        # which version of the protocol it speaks (anthropic-version) is the SDK's own business
        default_headers={h.name: h.value for h in credential.headers if not h.name.lower().endswith("-version")},
        default_query={p.name: p.value for p in credential.query_parameters},
        max_retries=0,  # with the same key; the next one is better
    )


def report(routing: RoutingStub, resolution: Resolution, usage: CallUsage, **result: Any) -> int:
    """Says what came of a call, and returns how Claviger reads it. A lost report costs nobody an answer."""
    request = ReportOutcomeRequest(resolution_id=resolution.resolution_id, usage=usage, **result)
    try:
        outcome = routing.ReportOutcome(request, timeout=5).outcome
    except grpc.RpcError as error:
        log.warning("the outcome was not taken: %s %s", error.code().name, error.details())
        return OUTCOME_UNSPECIFIED
    log.info("%s, key %s (%s): %s", resolution.model, resolution.key.key_slug, Source.Name(resolution.source), Outcome.Name(outcome))
    return outcome


def result(error: BaseException) -> dict[str, Any]:
    """What to report of a call that failed: the provider's answer, or what the caller alone knows."""
    cause = error.__cause__ or error
    if isinstance(cause, httpx2.TransportError):
        gave_up = isinstance(cause, httpx2.TimeoutException) and not isinstance(cause, httpx2.ConnectTimeout)
        return {"outcome": OUTCOME_CLIENT_ABORTED if gave_up else OUTCOME_NETWORK_ERROR}
    response = getattr(error, "response", None)
    if response is not None and response.status_code >= 400:
        return {"http": facts(response)}
    if hasattr(error, "body"):  # the SDK's error about an answer that had begun well
        return {"outcome": OUTCOME_SERVER_ERROR}
    return {"outcome": OUTCOME_CLIENT_ABORTED}  # closed, interrupted, or a mistake in `send`


def facts(response: httpx2.Response) -> HttpFacts:
    """What the provider's answer says about the key; Claviger's catalog reads it."""
    try:
        error = response.json()["error"]
    except (ValueError, KeyError, TypeError):
        error = None
    if not isinstance(error, dict):
        error = {"message": error}
    details = error.get("details")
    code = details.get("error_code") if isinstance(details, dict) else None
    limits = [(name, value) for name, value in response.headers.items() if "ratelimit" in name or name == "retry-after-ms"]
    return HttpFacts(
        status=response.status_code,
        error_type=str(error.get("type") or "")[:250],
        error_code=str(code or error.get("code") or "")[:250],
        error_message=str(error.get("message") or "")[:1000],
        retry_after=response.headers.get("retry-after", ""),
        headers=[Header(name=name, value=value[:250]) for name, value in limits[:64]],
    )


def count(usage: CallUsage, part: object) -> None:
    """Takes over the tokens that an answer, or an event of a stream, tells of; the last word counts."""
    for holder in (part, getattr(part, "message", None), getattr(part, "response", None)):
        told = getattr(holder, "usage", None)
        if told is None:
            continue
        tokens = told.model_dump()
        read = tokens.get("input_tokens", tokens.get("prompt_tokens"))
        written = tokens.get("output_tokens", tokens.get("completion_tokens"))
        if read is not None:  # Anthropic counts what it caches apart
            cached = (tokens.get(f"cache_{what}_input_tokens") or 0 for what in ("creation", "read"))
            usage.input_tokens = read + sum(cached)
        if written is not None:
            usage.output_tokens = written


def main() -> None:
    """Streams one answer to standard output, and says on standard error which keys were tried."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("provider", choices=["anthropic", "openai"])
    parser.add_argument("prompt")
    parser.add_argument("--model", default="", help="the workspace's or the provider's default when left out")
    parser.add_argument("--workspace", default="acme")
    parser.add_argument("--agent", default="example")
    parser.add_argument("--routing", default="127.0.0.1:50052", help="where routing listens (--dev: plaintext)")
    given = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    log.setLevel(logging.INFO)
    need = ResolveKeyRequest(
        workspace=f"workspaces/{given.workspace}", agent=given.agent, provider=given.provider, model=given.model)
    with grpc.insecure_channel(given.routing) as channel:
        speak = {"anthropic": speak_anthropic, "openai": speak_openai}[given.provider]
        for text in speak(RoutingStub(channel), need, given.prompt):
            print(text, end="", flush=True)
        print()


def speak_anthropic(routing: RoutingStub, need: ResolveKeyRequest, prompt: str) -> Iterator[str]:
    from anthropic import Anthropic

    def send(client: Anthropic, model: str) -> Iterable[Any]:
        return client.messages.create(model=model, max_tokens=500, stream=True, messages=[{"role": "user", "content": prompt}])

    for event in stream(routing, need, Anthropic(api_key="-"), send):
        if event.type == "content_block_delta" and event.delta.type == "text_delta":
            yield event.delta.text


def speak_openai(routing: RoutingStub, need: ResolveKeyRequest, prompt: str) -> Iterator[str]:
    from openai import OpenAI

    def send(client: OpenAI, model: str) -> Iterable[Any]:
        return client.chat.completions.create(
            model=model, stream=True, stream_options={"include_usage": True}, messages=[{"role": "user", "content": prompt}])

    for chunk in stream(routing, need, OpenAI(api_key="-"), send):
        for choice in chunk.choices:
            yield choice.delta.content or ""


if __name__ == "__main__":
    main()
