"""`ordinaut events` against running processes: a tail that lives longer than the api, and lists."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import pytest
from typer.testing import CliRunner, Result

from ordinaut.store.pool import Pool
from ordinaut_cli.app import app
from tests.cluster.processes import free_port
from tests.declaring import declare, run_now, task
from tests.integration.following import happened, published, write
from tests.running import Processes, until

pytestmark = pytest.mark.integration

LOG = {"id": "say", "uses": "std.log", "with": {"message": "hello"}}
PROGRAM = "from ordinaut_cli.app import main; main()"


class Tail:
    """`ordinaut events tail` as a process of its own."""

    def __init__(self, port: int, *arguments: str) -> None:
        command = [sys.executable, "-c", PROGRAM, "events", "tail", "--api", f"http://127.0.0.1:{port}", *arguments]
        self._out, self._err = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115 - close closes them
        self.process = subprocess.Popen(command, stdout=self._out, stderr=self._err)

    def lines(self) -> list[str]:
        return _read(self._out).splitlines()

    def complaints(self) -> str:
        return _read(self._err)

    async def shows(self, condition: Callable[[list[str]], object]) -> None:
        await asyncio.to_thread(
            until, lambda: condition(self.lines()), what=lambda: f"{self.lines()} {self.complaints()}"
        )

    def interrupt(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=30)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self._out.close()
        self._err.close()


def _read(file: IO[bytes]) -> str:
    """Return what a process has written so far; a seek would move the place where it writes on, too."""
    return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode()


async def test_a_tail_goes_on_over_restarts_of_the_api_and_misses_nothing(pool: Pool, processes: Processes) -> None:
    port = free_port()
    api = await asyncio.to_thread(processes.start, "api", api_port=port)
    await write(pool, published("a.b", "before"))
    tail = Tail(port, "--topic", "a.*", "--after", "0", "-o", "json")
    try:
        await tail.shows(lambda lines: len(lines) == 1)
        await write(pool, *[published("a.b", n) for n in range(100)], published("other", "x"))
        await tail.shows(lambda lines: len(lines) > 50)
        for number, end in enumerate((signal.SIGTERM, signal.SIGKILL), 1):
            api.send(end)
            await asyncio.to_thread(api.process.wait)
            await write(pool, *[published("a.b", 100 * number + n) for n in range(100)])
            api = await asyncio.to_thread(processes.start, "api", api_port=port)
            await write(pool, published("a.b", f"last {number}"))
            await tail.shows(lambda lines, number=number: f"last {number}" in (lines or [""])[-1])
        assert await asyncio.to_thread(tail.interrupt) == 130
        told = [json.loads(line)["data"] for line in tail.lines()]
        assert told == ["before", *range(200), "last 1", *range(200, 300), "last 2"]
        assert tail.complaints() == ""
    finally:
        tail.close()


def run_cli(port: int, *arguments: str) -> Result:
    return CliRunner(env={"ORDINAUT_API_URL": f"http://127.0.0.1:{port}"}).invoke(app, ["events", *arguments])


async def test_the_events_of_a_run_and_lists_with_every_choice(
    pool: Pool, processes: Processes, tmp_path: Path
) -> None:
    port = free_port()
    await declare(pool, task("t", LOG))
    run = str(await run_now(pool, namespace="default", name="t"))
    await write(pool, published("mail.received", {"from": "ann"}, subject="inbox/7"))
    await write(pool, happened("run.succeeded", run=run))
    await asyncio.to_thread(processes.start, "api", api_port=port)

    def cli(*arguments: str) -> Any:
        result = run_cli(port, *arguments, "-o", "json")
        assert result.exit_code == 0, result.output
        return result.stdout

    told = [json.loads(line)["type"] for line in (await asyncio.to_thread(cli, "tail", "--run", run)).splitlines()]
    assert told == ["io.ordinaut.run.created", "io.ordinaut.run.succeeded"]

    def listed(*arguments: str) -> list[str]:
        return [one["type"].removeprefix("io.ordinaut.") for one in json.loads(cli(*arguments))["items"]]

    all_types = ["run.succeeded", "mail.received", "run.created", "task.applied"]
    assert await asyncio.to_thread(listed) == all_types
    for arguments, types in [
        (("list",), all_types),
        (("list", "--since", "1h"), all_types),
        (("list", "--since", "2099-01-01T00:00:00Z"), []),
        (("--type", "mail.received"), ["mail.received"]),
        (("list", "--topic", "mail.*", "--topic", "run.created"), ["mail.received", "run.created"]),
        (("list", "--task", "t", "--limit", "2"), ["run.succeeded", "run.created"]),
        (("list", "--run", run), ["run.succeeded", "run.created"]),
        (("list", "--subject", "inbox"), ["mail.received"]),
    ]:
        assert await asyncio.to_thread(listed, *arguments) == types, arguments

    table = await asyncio.to_thread(run_cli, port, "tail", "--run", run)
    assert "run.succeeded" in table.stdout.splitlines()[-1]
    wrong = await asyncio.to_thread(run_cli, port, "tail", "--topic", "a..b")
    assert (wrong.exit_code, "topic" in wrong.output) == (2, True)
    for arguments in [
        ("tail", "--run", run, "--topic", "x"),
        ("tail", "--since", "2h", "--after", "0"),
        ("tail", "--since", "soon"),
        ("--type", "x", "tail"),
    ]:
        refused = await asyncio.to_thread(run_cli, port, *arguments)
        assert refused.exit_code != 0
        assert refused.output.startswith("--")
