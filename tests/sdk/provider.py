"""A local HTTP server in OpenAI's and Anthropic's place. What it answers depends on the key, as with theirs."""

import http.server
import json
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from dialects import Anthropic, Json, OpenAi, Refusal

# How long a key with the mood `slow` takes.
SLOW = 3.0


@dataclass(frozen=True)
class Request:
    """What came in."""

    method: str
    path: str
    secret: str
    headers: dict[str, str]


class Provider:
    """Knows the keys that it made. Their moods: `good`, `limited`, `invalid`, `overloaded`, `broke` (out of credit), `spent` (this
    month's limit is reached), `slow`, `cut` (in mid-stream)."""

    def __init__(self) -> None:
        self.moods: dict[str, str] = {}
        self.requests: list[Request] = []
        provider = self

        class Handler(_Handler):
            """Of this provider."""

            of = provider

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def key(self, prefix: str) -> str:
        """A new key, in a good mood."""
        secret = f"{prefix}{uuid.uuid4().hex}{uuid.uuid4().hex}"
        self.moods[secret] = "good"
        return secret

    def seen(self, secret: str) -> list[str]:
        """What came in with a key: `POST /v1/messages`."""
        return [f"{request.method} {request.path}" for request in list(self.requests) if request.secret == secret]

    def called(self, *secrets: str) -> list[int]:
        """How often each key was used for a call."""
        return [sum(line.startswith("POST ") for line in self.seen(secret)) for secret in secrets]


class _Handler(http.server.BaseHTTPRequestHandler):
    of: Provider

    def do_GET(self) -> None:  # noqa: N802 (the base class's name)
        """The list of models, by which the vault tests keys."""
        dialect, mood = self._known()
        if mood == "invalid":
            self._refuse(dialect.invalid(self._secret()))
        else:
            self._answer(200, {"object": "list", "data": []})

    def do_POST(self) -> None:  # noqa: N802
        """A call."""
        dialect, mood = self._known()
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if mood == "slow":
            time.sleep(SLOW)
        if self.path != dialect.path:
            self._answer(404, {})
        elif mood == "invalid":
            self._refuse(dialect.invalid(self._secret()))
        elif dialect.is_bad(asked):
            self._refuse(dialect.bad())
        elif mood == "limited":
            self._refuse(dialect.limited(asked["model"]))
        elif mood in ("overloaded", "broke", "spent"):
            self._refuse(getattr(dialect, mood)())
        elif asked.get("stream"):
            self._stream(dialect.events(asked, cut=mood == "cut"))
        else:
            self._answer(200, dialect.answer(asked["model"]))

    def _secret(self) -> str:
        return self.headers.get("x-api-key") or self.headers.get("authorization", "").removeprefix("Bearer ")

    def _known(self) -> tuple[type[OpenAi] | type[Anthropic], str]:
        secret = self._secret()
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.of.requests.append(Request(self.command, self.path, secret, headers))
        dialect = Anthropic if "x-api-key" in headers else OpenAi
        return dialect, self.of.moods.get(secret, "invalid")

    def _refuse(self, refusal: Refusal) -> None:
        self._answer(refusal.status, refusal.body, refusal.headers)

    def _answer(self, status: int, body: Json, headers: dict[str, str] | None = None) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"content-type": "application/json", "content-length": str(len(text)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self._write(text)

    def _stream(self, events: Iterator[str]) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream; charset=utf-8")
        self.end_headers()
        for event in events:
            self._write(event.encode())

    def _write(self, data: bytes) -> None:
        try:
            self.wfile.write(data)
        except OSError:
            pass  # the caller gave up

    def log_message(self, *_: object) -> None:
        """Nothing."""
