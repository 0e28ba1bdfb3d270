"""What OpenAI and Anthropic answer, as their documentation has it: answers, streams, errors with their headers."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

TEXT = ["Hello", ", world"]
INPUT_TOKENS = 1200
OUTPUT_TOKENS = 300

Json = dict[str, Any]


@dataclass(frozen=True)
class Refusal:
    """An error as the provider answers it."""

    status: int
    body: Json
    headers: dict[str, str]


class OpenAi:
    """Chat completions (https://platform.openai.com/docs/api-reference/chat, .../guides/error-codes, .../rate-limits)."""

    path = "/v1/chat/completions"

    @staticmethod
    def _error(status: int, kind: str, code: str | None, message: str, headers: dict[str, str] | None = None) -> Refusal:
        error = {"message": message, "type": kind, "param": None, "code": code}
        return Refusal(status, {"error": error}, headers or {})

    @classmethod
    def invalid(cls, secret: str) -> Refusal:
        shown = f"{secret[:8]}{'*' * 20}{secret[-4:]}"
        return cls._error(
            401, "invalid_request_error", "invalid_api_key",
            f"Incorrect API key provided: {shown}. You can find your API key at https://platform.openai.com/account/api-keys.")

    @classmethod
    def limited(cls, model: str) -> Refusal:
        return cls._error(
            429, "tokens", "rate_limit_exceeded",
            f"Rate limit reached for {model} in organization org-3vHNf8Jx on tokens per min (TPM): Limit 30000, Used 29524, "
            "Requested 9797. Please try again in 18.642s. Visit https://platform.openai.com/account/rate-limits to learn more.",
            {
                "retry-after": "19", "retry-after-ms": "18642",
                "x-ratelimit-limit-requests": "500", "x-ratelimit-remaining-requests": "499", "x-ratelimit-reset-requests": "120ms",
                "x-ratelimit-limit-tokens": "30000", "x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "59.048s",
            })

    @classmethod
    def overloaded(cls) -> Refusal:
        return cls._error(
            503, "server_error", "server_is_overloaded",
            "Our servers are currently overloaded. Please try again later.")

    @classmethod
    def broke(cls, code: str | None = "insufficient_quota") -> Refusal:
        return cls._error(
            429, "insufficient_quota", code,
            "You exceeded your current quota, please check your plan and billing details. For more information on this error, read "
            "the docs: https://platform.openai.com/docs/guides/error-codes/api-errors.")

    @classmethod
    def spent(cls) -> Refusal:
        """As it was before there were codes."""
        return cls.broke(code=None)

    @classmethod
    def bad(cls) -> Refusal:
        return cls._error(
            400, "invalid_request_error", "integer_below_min_value",
            "Invalid 'max_completion_tokens': integer below minimum value. Expected a value >= 1, but got 0 instead.")

    @staticmethod
    def is_bad(asked: Json) -> bool:
        return asked.get("max_completion_tokens", 1) < 1

    @staticmethod
    def _usage() -> Json:
        return {
            "prompt_tokens": INPUT_TOKENS, "completion_tokens": OUTPUT_TOKENS, "total_tokens": INPUT_TOKENS + OUTPUT_TOKENS,
            "prompt_tokens_details": {"cached_tokens": 1000, "audio_tokens": 0},
        }

    @classmethod
    def answer(cls, model: str) -> Json:
        message = {"role": "assistant", "content": "".join(TEXT), "refusal": None}
        return {
            "id": "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT", "object": "chat.completion", "created": 1741569952, "model": model,
            "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}], "usage": cls._usage(),
        }

    @classmethod
    def events(cls, asked: Json, cut: bool) -> Iterator[str]:
        whole = {
            "id": "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT", "object": "chat.completion.chunk", "created": 1741569952,
            "model": asked["model"],
        }

        def chunk(choices: list[Json], **more: Any) -> str:
            return f"data: {json.dumps({**whole, 'choices': choices, **more})}\n\n"

        for text in TEXT:
            yield chunk([{"index": 0, "delta": {"role": "assistant", "content": text}, "logprobs": None, "finish_reason": None}])
            if cut:
                error = {"message": "The server had an error while processing your request. Sorry about that!"}
                yield f"data: {json.dumps({'error': {**error, 'type': 'server_error', 'param': None, 'code': None}})}\n\n"
                return
        yield chunk([{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}])
        if asked.get("stream_options", {}).get("include_usage"):
            yield chunk([], usage=cls._usage())
        yield "data: [DONE]\n\n"


class Anthropic:
    """Messages (https://platform.claude.com/docs/en/api/messages, .../api/errors, .../api/rate-limits, .../build-with-claude/streaming)."""

    path = "/v1/messages"
    # of the input; the rest came from the cache, which Anthropic counts apart
    uncached = 200

    @staticmethod
    def _error(status: int, kind: str, message: str, headers: dict[str, str] | None = None, code: str | None = None) -> Refusal:
        error = {"type": kind, "message": message, "details": {"error_code": code} if code else None}
        body = {"type": "error", "error": error, "request_id": "req_011CSHoEeqs5C35K2UUqR7Fy"}
        return Refusal(status, body, {"request-id": "req_011CSHoEeqs5C35K2UUqR7Fy", **(headers or {})})

    @classmethod
    def invalid(cls, _: str) -> Refusal:
        return cls._error(401, "authentication_error", "invalid x-api-key")

    @classmethod
    def limited(cls, _: str) -> Refusal:
        reset = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 60))
        return cls._error(
            429, "rate_limit_error",
            "This request would exceed your organization's rate limit of 40,000 input tokens per minute. For details, refer to: "
            "https://docs.claude.com/en/api/rate-limits.",
            {
                "retry-after": "17", "x-should-retry": "true",
                "anthropic-ratelimit-requests-limit": "50", "anthropic-ratelimit-requests-remaining": "49",
                "anthropic-ratelimit-requests-reset": reset, "anthropic-ratelimit-input-tokens-limit": "40000",
                "anthropic-ratelimit-input-tokens-remaining": "0", "anthropic-ratelimit-input-tokens-reset": reset,
            })

    @classmethod
    def overloaded(cls) -> Refusal:
        return cls._error(529, "overloaded_error", "Overloaded", {"x-should-retry": "true"})

    @classmethod
    def broke(cls) -> Refusal:
        return cls._error(
            400, "invalid_request_error",
            "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits.")

    @classmethod
    def spent(cls) -> Refusal:
        return cls._error(
            429, "rate_limit_error", "Your organization has reached its monthly API usage threshold.",
            code="enforced_spend_limit_reached")

    @classmethod
    def bad(cls) -> Refusal:
        return cls._error(400, "invalid_request_error", "max_tokens: Input should be greater than or equal to 1")

    @staticmethod
    def is_bad(asked: Json) -> bool:
        return asked["max_tokens"] < 1

    @classmethod
    def _usage(cls, output: int) -> Json:
        return {
            "input_tokens": cls.uncached, "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": INPUT_TOKENS - cls.uncached, "output_tokens": output,
        }

    @classmethod
    def answer(cls, model: str) -> Json:
        return {
            "id": "msg_013Zva2CMHLNnXjNJJKqJ2EF", "type": "message", "role": "assistant", "model": model,
            "content": [{"type": "text", "text": "".join(TEXT)}], "stop_reason": "end_turn", "stop_sequence": None,
            "usage": cls._usage(OUTPUT_TOKENS),
        }

    @classmethod
    def events(cls, asked: Json, cut: bool) -> Iterator[str]:
        def event(kind: str, **data: Any) -> str:
            return f"event: {kind}\ndata: {json.dumps({'type': kind, **data})}\n\n"

        start = {**cls.answer(asked["model"]), "content": [], "stop_reason": None, "usage": cls._usage(1)}
        yield event("message_start", message=start)
        yield event("content_block_start", index=0, content_block={"type": "text", "text": ""})
        yield event("ping")
        for text in TEXT:
            yield event("content_block_delta", index=0, delta={"type": "text_delta", "text": text})
            if cut:
                yield event("error", error={"type": "overloaded_error", "message": "Overloaded"})
                return
        yield event("content_block_stop", index=0)
        yield event(
            "message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage={"output_tokens": OUTPUT_TOKENS})
        yield event("message_stop")
