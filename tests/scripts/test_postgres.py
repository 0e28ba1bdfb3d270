"""scripts/postgres.sh runs a real PostgreSQL: once, reached by its socket alone, with data that lasts, whatever killed it."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from places import ROOT

SCRIPT = ROOT / "scripts" / "postgres.sh"
BASICS = ["bash", "basename", "cat", "cksum", "cut", "dirname", "flock", "id", "mkdir", "readlink", "sed", "sort"]


class Cluster:
    """A server on a folder of its own, which every user reaches."""

    def __init__(self, parent):
        self.folder = Path(parent) / "data"

    def run(self, command):
        done = subprocess.run([SCRIPT, command, self.folder], capture_output=True, text=True, timeout=200, check=False)
        self.said = done.stdout + done.stderr
        return done

    def ok(self, command):
        done = self.run(command)
        assert done.returncode == 0, self.said
        return done.stdout

    def spawn(self, command):
        return subprocess.Popen([SCRIPT, command, self.folder], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def query(self, sql):
        psql = shutil.which("psql")
        if not psql:
            pytest.skip("psql is missing")
        done = subprocess.run([psql, "-XAtc", sql, self.ok("url").strip()], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def data(self):
        """Where it says that the data is."""
        return Path(self.ok("status").strip().removeprefix("postgres: runs on "))

    def sockets(self):
        return Path(parse_qs(urlsplit(self.ok("url").strip()).query)["host"][0])

    def pid(self):
        return int((self.data() / "postmaster.pid").read_text().split("\n", 1)[0])


@pytest.fixture(name="cluster")
def _cluster():
    parent = tempfile.mkdtemp(prefix="claviger-test-")
    os.chmod(parent, 0o755)
    yield from using(parent)
    shutil.rmtree(parent)


@pytest.fixture(name="hidden")
def _hidden(tmp_path):
    """Under a folder that its owner alone reaches."""
    tmp_path.chmod(0o700)
    yield from using(tmp_path)


def using(parent):
    cluster = Cluster(parent)
    yield cluster
    data = cluster.data() if cluster.run("status").returncode == 0 else None
    cluster.ok("stop")
    if data:
        shutil.rmtree(data)


def test_two_starts_at_once_make_one_server(cluster):
    starts = [cluster.spawn("start") for _ in range(4)]
    said = [start.communicate(timeout=200) for start in starts]
    assert [start.returncode for start in starts] == [0] * 4, said
    assert sum("runs on" in out for out, _ in said) == 1, said
    pid = cluster.pid()
    cluster.ok("start")
    assert cluster.pid() == pid


def test_the_url_is_all_that_is_printed_and_it_answers(cluster):
    url = cluster.run("url")
    assert url.returncode == 0, cluster.said
    assert len(url.stdout.splitlines()) == 1 and url.stdout.startswith("postgres://claviger@localhost:5432/claviger?host=/")
    settings = ("server_encoding", "lc_collate", "listen_addresses", "fsync", "synchronous_commit", "max_connections")
    values = cluster.query("SELECT " + " || ' ' || ".join(f"'[' || current_setting('{name}') || ']'" for name in settings))
    assert values == "[UTF8] [C] [] [on] [on] [300]"
    assert int(cluster.query("SHOW server_version_num")) >= 150000


def test_no_other_user_reaches_the_socket(cluster):
    sockets, owner = cluster.sockets(), cluster.data().stat().st_uid
    assert sockets.stat().st_mode & 0o777 == 0o700
    assert len(str(sockets / ".s.PGSQL.5432")) < 100
    cluster.ok("stop")
    assert not sockets.exists()
    for foreigner, mode in ((owner, 0o755), (12345, 0o700)):
        if foreigner != owner and os.getuid() != 0:
            continue
        sockets.mkdir()
        sockets.chmod(mode)
        os.chown(sockets, foreigner, -1)
        refused = cluster.run("start")
        sockets.rmdir()
        assert refused.returncode == 1
        assert "remove it" in refused.stderr
    cluster.ok("start")


def test_stop_keeps_the_data_and_may_be_said_twice(cluster):
    cluster.query("CREATE TABLE kept (id int)")
    cluster.ok("stop")
    assert cluster.ok("stop") == "postgres: nothing runs\n"
    assert cluster.run("status").returncode == 3
    cluster.query("INSERT INTO kept VALUES (1)")


def test_a_killed_server_starts_again(cluster):
    cluster.query("CREATE TABLE kept (id int)")
    killed = cluster.pid()
    os.kill(killed, signal.SIGKILL)
    assert cluster.query("SELECT count(*) FROM kept") == "0"
    assert cluster.pid() != killed


def test_a_killed_server_starts_again_when_its_last_query_has_ended(cluster):
    cluster.query("CREATE TABLE kept (id int)")
    busy = "DO $$ BEGIN LOOP EXIT WHEN clock_timestamp() > now() + interval '4s'; END LOOP; END $$"
    query = subprocess.Popen(["psql", "-XAtc", busy, cluster.ok("url").strip()], stderr=subprocess.DEVNULL)
    while cluster.query("SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'DO %'") == "0":
        time.sleep(0.02)
    os.kill(cluster.pid(), signal.SIGKILL)
    assert cluster.query("SELECT count(*) FROM kept") == "0"
    query.wait(60)


def test_another_process_with_the_number_of_a_killed_server_is_not_taken_for_it(cluster):
    cluster.query("CREATE TABLE kept (id int)")
    file = cluster.data() / "postmaster.pid"
    left = file.read_text()
    owner = file.stat().st_uid
    cluster.ok("stop")
    other = subprocess.Popen(["sleep", "600"], user=owner if os.getuid() == 0 else None)
    try:
        file.write_text(left.replace(left.split("\n", 1)[0], str(other.pid), 1))
        os.chown(file, owner, -1)
        cluster.ok("stop")
        assert other.poll() is None, "an innocent process was stopped"
        assert cluster.query("SELECT count(*) FROM kept") == "0"
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_an_interrupted_creation_is_begun_anew(cluster):
    new = cluster.folder.with_name("data.new")
    new.mkdir()
    (new / "PG_VERSION").write_text("15\n")
    cluster.ok("start")
    assert not new.exists()


def test_a_folder_with_something_else_is_left_alone(cluster):
    cluster.folder.mkdir()
    (cluster.folder / "letter").write_text("dear")
    refused = cluster.run("start")
    assert refused.returncode == 1
    assert "holds something else" in refused.stderr
    assert [path.name for path in cluster.folder.iterdir()] == ["letter"]


def test_a_folder_that_the_server_s_user_cannot_reach(hidden):
    assert hidden.query("SELECT 1") == "1"
    if os.getuid() == 0:
        assert hidden.data().parent == Path("/var/tmp")
    else:
        assert hidden.data() == hidden.folder


@pytest.fixture(name="machine")
def _machine(tmp_path):
    """A machine without PostgreSQL."""
    path = tmp_path / "bin"
    path.mkdir()
    for name in BASICS:
        (path / name).symlink_to(shutil.which(name))
    script = tmp_path / "postgres.sh"
    script.write_text(SCRIPT.read_text().replace("/usr/lib/postgresql", str(tmp_path / "lib")).replace("/etc/", f"{tmp_path}/etc/"))
    return tmp_path


def put(machine, name, script):
    tool = machine / "bin" / name
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)


def run(machine, command):
    return subprocess.run(
        ["bash", machine / "postgres.sh", command, machine / "data"],
        env={"PATH": str(machine / "bin")}, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(("uid", "apt"), [(0, False), (1000, True)])
def test_what_is_missing(machine, uid, apt):
    (machine / "bin" / "id").unlink()
    put(machine, "id", f"echo {uid}")
    if apt:
        put(machine, "apt-get", "exit 0")
    done = run(machine, "url")
    assert done.returncode == 1 and not done.stdout
    assert done.stderr.splitlines() == [
        "postgres: PostgreSQL 15 or newer is missing: "
        "apt-get install postgresql, dnf install postgresql-server, or brew install postgresql"]
    assert run(machine, "stop").returncode == 0
    assert run(machine, "status").returncode == 3


def installing(machine, script):
    (machine / "bin" / "id").unlink()
    put(machine, "id", "echo 0")
    config = machine / "etc" / "postgresql-common" / "createcluster.conf"
    config.parent.mkdir(parents=True)
    config.write_text("# Create a main cluster?\n#create_main_cluster = true\n")
    put(machine, "apt-get", f'for last; do :; done; echo "$last" >>{machine}/calls; {script}')
    return config


def test_a_failed_install_says_why(machine):
    installing(machine, "echo the reason; exit 100")
    done = run(machine, "url")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-2:] == ["the reason", "postgres: could not install PostgreSQL: apt-get update failed"]


def test_an_old_version_is_refused_and_the_package_starts_no_server(machine):
    config = installing(machine, "exit 0")
    old = machine / "lib" / "14" / "bin"
    old.mkdir(parents=True)
    for name in ("initdb", "pg_ctl", "pg_isready", "postgres"):
        (old / name).write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 14.2'\n")
        (old / name).chmod(0o755)
    done = run(machine, "url")
    assert done.returncode == 1
    assert "older than 15" in done.stderr.splitlines()[-1]
    assert (machine / "calls").read_text().split() == ["update", "postgresql-common", "postgresql"]
    assert "\ncreate_main_cluster = false\n" in config.read_text()
