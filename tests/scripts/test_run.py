"""`make run` as a newcomer does it: start it, paste its lines, stop it, start it again."""

import http.server
import json
import os
import re
import signal
import subprocess
import threading
import uuid

import pytest
from places import ROOT

KEY = "sk-ant-api03-" + (uuid.uuid4().hex * 3)[:93] + "AA"


class Provider(http.server.BaseHTTPRequestHandler):
    """In Anthropic's place: it knows one key."""

    def do_GET(self):  # noqa: N802 (the base class's name)
        known = self.headers.get("x-api-key") == KEY and self.path == "/v1/models?limit=1"
        body = b'{"data": []}' if known else b'{"error": {"type": "authentication_error"}}'
        self.send_response(200 if known else 401)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(name="provider", scope="module")
def _provider():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(name="start")
def _start(tmp_path, provider):
    """Starts `make run` on a folder, with a local server in Anthropic's place."""
    catalog = tmp_path / "catalog.toml"
    catalog.write_text(f'[[provider]]\nid = "anthropic"\nbase_url = {{ default = "{provider}" }}\n')
    return lambda folder: Run(folder, {"CLAVIGER_CATALOG_FILE": str(catalog), "CLAVIGER_EGRESS_ALLOW": "127.0.0.1"})


class Run:
    """`make run` on free ports, with its data in a folder."""

    def __init__(self, folder, settings):
        free = {f"CLAVIGER_{name}": "127.0.0.1:0" for name in (
            "KEYVAULT_LISTEN", "KEYVAULT_HEALTH_LISTEN", "KEYVAULT_METRICS_LISTEN",
            "ROUTING_LISTEN", "ROUTING_HEALTH_LISTEN", "ROUTING_METRICS_LISTEN")}
        environment = {**os.environ, **free, **settings, "CLAVIGER_DATA_DIR": str(folder)}
        self.process = subprocess.Popen(
            ["make", "run"], cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
        self.text = ""
        self.ready = threading.Event()
        self.reader = threading.Thread(target=self._read)
        self.reader.start()
        assert self.ready.wait(900), self.text
        assert "Ctrl-C stops both" in self.text, self.text

    def _read(self):
        for line in self.process.stdout:
            self.text += line
            if line.startswith("Ctrl-C stops both"):
                self.ready.set()
        self.ready.set()

    def line(self, number):
        """The line to paste under the comment with this number."""
        return re.search(rf"^# {number}\. .*\n(.*)$", self.text, re.MULTILINE)[1]

    def paste(self, number, stdin=""):
        return subprocess.run(["bash", "-c", self.line(number)], input=stdin, text=True, capture_output=True, timeout=60)

    def interrupt(self):
        """Ctrl-C: the terminal sends it to the whole foreground group."""
        os.killpg(self.process.pid, signal.SIGINT)
        self.process.wait(60)
        self.reader.join(60)


@pytest.fixture(name="folder")
def _folder(tmp_path):
    return tmp_path / "data"


def services(folder):
    """The services that run on this folder's data."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as command:
                if str(folder).encode() in command.read():
                    found.append(pid)
        except OSError:
            pass  # gone
    return found


def masked(text, provider):
    """What a pasted line answers, without what differs from one time to the next."""
    for pattern, replacement in (
        (re.escape(provider), "https://api.anthropic.com"),
        (re.escape(KEY), "sk-ant-a…"),
        (rf'"lastFour": "{KEY[-4:]}"', '"lastFour": "…"'),
        (r'"resolutionId": "[^"]+"', '"resolutionId": "AQ…"'),
        (r"[0-9a-f]{32}\.[0-9a-f]+", "…"),
        (r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}", "01a1…"),
        (r"20\d\d-\d\d-\d\dT[0-9:.]+Z", "2026-…Z"),
        (r'"\d+(\.\d+)?s"', '"0.2s"'),
    ):
        text = re.sub(pattern, replacement, text)
    return text.rstrip() + "\n"


def transcript(answers):
    """The answers as the README has them."""
    titles = ("1. store", "2. list", "3. resolve", "4. explain", "5. revoke", "3. again")
    parts = (f"# {title}\n{answer}" for title, answer in zip(titles, answers, strict=True))
    return "<!-- transcript -->\n```text\n" + "\n".join(parts) + "```\n<!-- end -->"


def test_the_printed_lines_do_the_main_job_as_the_readme_says(folder, start, provider):
    run = start(folder)
    try:
        answers = [run.paste(1, KEY + "\n"), *(run.paste(number) for number in (2, 3, 4, 5, 3))]
        assert (folder / "master.key").stat().st_mode & 0o777 == 0o600
        assert services(folder)
    finally:
        run.interrupt()
    created, listed, resolved, explained, revoked, refused = answers
    assert json.loads(created.stdout)["lastTest"]["result"] == "RESULT_VALID", created
    assert {"name": "x-api-key", "value": KEY} in json.loads(resolved.stdout)["credential"]["headers"], resolved
    assert json.loads(revoked.stdout)["providerKey"]["state"] == "STATE_REVOKED", revoked
    assert "NO_ELIGIBLE_KEY" in refused.stderr, refused
    for silent in (created, listed, explained, revoked, refused):
        assert KEY not in silent.stdout + silent.stderr
    assert "stopped; the data stays" in run.text
    assert KEY not in run.text
    assert not services(folder)
    assert_in_readme(transcript([masked(answer.stdout or answer.stderr, provider) for answer in answers]))


def assert_in_readme(text):
    """UPDATE_README=1 writes it there instead."""
    readme = ROOT / "README.md"
    old = readme.read_text()
    if os.environ.get("UPDATE_README"):
        block = re.compile(r"<!-- transcript -->.*<!-- end -->", re.DOTALL)
        readme.write_text(block.sub(lambda _: text, old))
        return
    assert text in old, f"README.md's transcript is not what happens; UPDATE_README=1 corrects it:\n{text}"


def test_the_next_start_finds_yesterday_s_data(folder, start):
    run = start(folder)
    try:
        assert run.paste(1, KEY + "\n").returncode == 0
    finally:
        run.interrupt()
    again = start(folder)
    try:
        resolved = again.paste(3)
        assert KEY in resolved.stdout, resolved
    finally:
        again.interrupt()


def test_a_failing_service_is_told_and_nothing_is_left_running(folder):
    folder.mkdir()
    (folder / "keyvault.db").write_text("this is no database")
    environment = {**os.environ, "CLAVIGER_DATA_DIR": str(folder)}
    failed = subprocess.run(
        ["bash", "scripts/run.sh"], cwd=ROOT, env=environment, text=True, capture_output=True, timeout=900)
    assert failed.returncode != 0
    assert "keyvault did not start" in failed.stderr and "master.key" in failed.stderr, failed.stderr
    assert not services(folder)
