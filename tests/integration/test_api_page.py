"""The page for agents and their developers: its requests are sent, in their order, to real processes."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest

from tests.cluster.processes import free_port
from tests.running import Processes

pytestmark = pytest.mark.integration

PAGE = Path(__file__).parents[2] / "docs" / "api.md"
SERVED_AT = "http://127.0.0.1:8080"

REFUSED = {"cancel": 409, "retry": 409, "unpark": 409}
"""The run of the page has succeeded when these come."""


@dataclass
class Reader:
    """Somebody who follows the page word by word, with its shell variables."""

    http: httpx2.Client
    variables: dict[str, str] = field(default_factory=dict)

    def send(self, command: str) -> httpx2.Response:
        """Send what a line of the page says, and remember what later lines need."""
        method, headers, body, url = "GET", {}, None, ""
        words = iter(shlex.split(re.sub(r"\$([A-Z]+)", lambda found: self.variables[found[1]], command))[1:])
        for word in words:
            match word:
                case "-X":
                    method = next(words)
                case "-H":
                    name, _, value = next(words).partition(": ")
                    headers[name] = value
                case "-d":
                    body = next(words)
                case "-i" | "-N":
                    pass
                case _:
                    url = word
        with self.http.stream(method, url, headers=headers, content=body) as answer:
            # A stream goes on for minutes: nobody reads it to its end.
            if not answer.headers.get("content-type", "").startswith("text/event-stream"):
                answer.read()
        path, _, name = answer.headers.get("location", "").rpartition("/")
        if path.endswith("/runs"):
            self.variables["RUN"] = name
        if etag := answer.headers.get("etag"):
            self.variables["ETAG"] = etag.replace('"', '\\"')
        return answer


def blocks(language: str) -> list[str]:
    """Return the code blocks of the page."""
    text = PAGE.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def commands() -> Iterator[str]:
    """Yield each curl command of the page, whatever lines it spans."""
    for block in re.findall(
        r"^```console\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    ):
        for command in re.split(r"^\$ ", block, flags=re.MULTILINE):
            if command.startswith("curl"):
                yield command


@pytest.fixture
def url(processes: Processes, tmp_path: Path) -> str:
    port = free_port()
    processes.start("operator", source="directory", directory=tmp_path)
    processes.start("worker")
    processes.start("api", api_port=port)
    return f"http://127.0.0.1:{port}"


def test_every_request_of_the_page_works(url: str) -> None:
    with httpx2.Client(timeout=60, trust_env=False) as http:
        reader = Reader(http, {"API": f"{url}/v1/namespaces/default"})
        sent = 0
        for command in commands():
            answer = reader.send(command.replace(SERVED_AT, url))
            verb = answer.request.url.path.rpartition("/")[2]
            assert answer.status_code == REFUSED.get(verb, answer.status_code), answer.text
            assert verb in REFUSED or answer.is_success, (command, answer.text)
            if verb == "wait":
                assert answer.json()["status"]["phase"] == "Succeeded"
            sent += 1
        assert sent > 25


def test_the_python_of_the_page_works(url: str) -> None:
    with httpx2.Client(timeout=60, trust_env=False) as http:
        create = next(command for command in commands() if "-X POST $API/tasks " in command)
        made = Reader(http, {"API": f"{url}/v1/namespaces/default"}).send(create)
        assert made.status_code == 201, made.text
    (program,) = blocks("python")
    done = subprocess.run(
        [sys.executable, "-c", program.replace(SERVED_AT, url)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Succeeded")
