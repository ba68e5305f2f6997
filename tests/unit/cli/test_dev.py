"""Parts of ``ordinaut dev`` by themselves: what it prints of events, its folder, its processes."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ordinaut.settings import BY_PARTS
from ordinaut_cli.dev import folder, logs
from ordinaut_cli.dev.console import DevConsole
from ordinaut_cli.dev.processes import describe_exit, free_port, is_free
from ordinaut_cli.dev.programs import Urls, programs
from ordinaut_cli.dev.session import first, given
from ordinaut_cli.errors import CommandError

RUN = "01a20673-2d1e-7360-8000-fa4fd7c21cf9"


def event(kind: str, **data: Any) -> dict[str, Any]:
    return {
        "type": f"io.ordinaut.{kind}",
        "time": "2026-03-01T12:00:00.000Z",
        "data": {"namespace": "default", "task": "briefing", **data},
    }


PUBLISHED = {"type": "mail.received", "time": "2026-03-01T12:00:00.000Z", "publisher": "tokens:ada"}


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (event("run.created", run=RUN, trigger="manual"), f"c21cf9  ▸ run {RUN} created by hand"),
        (event("run.created", run=RUN, trigger="retry", scheduledTime="2026-03-01T12:00:00Z"), "created as a retry"),
        (PUBLISHED, "▹ mail.received published by tokens:ada"),
        (
            event("run.created", run=RUN, trigger="schedule", scheduledTime="2026-03-01T12:00:00Z"),
            f"▸ run {RUN} created for 2026-03-01T12:00:00Z",
        ),
        (event("step.succeeded", run=RUN, step="mail", phase="Succeeded", attempt=1, seconds=0.0124), "✓ mail "),
        (event("step.succeeded", run=RUN, step="mail", phase="Succeeded", attempt=1, seconds=0.0124), " 12ms"),
        (
            event("step.waiting", run=RUN, step="mail", phase="Waiting", attempt=2, seconds=1, error="503"),
            "try 2 failed: 503",
        ),
        (event("step.skipped", run=RUN, step="mail", phase="Skipped", attempt=1, seconds=0), "skipped: its condition"),
        (event("step.failed", run=RUN, step="mail", phase="Failed", attempt=4, seconds=1, error="no"), "Failed: no"),
        (
            event("run.waiting", run=RUN, phase="Waiting", attempt=1, retryAfterSeconds=1.5),
            "… Waiting: next try in 1.5 s",
        ),
        (event("run.succeeded", run=RUN, phase="Succeeded", attempt=1), "✓ Succeeded"),
        (event("run.failed", run=RUN, phase="Failed", attempt=1, error="step mail: no"), "✗ Failed: step mail: no"),
        (event("run.cancelled", run=RUN, phase="Cancelled", reason="Requested"), "✗ Cancelled: Requested"),
        (event("run.redelivered", run=RUN, worker="w", attempt=2), "· redelivered"),
        (event("task.skipped", reason="StillRunning", count=3), "○ 3 skipped: StillRunning"),
        (event("task.applied"), "briefing  · applied"),
    ],
)
def test_an_event_is_one_line(capsys: pytest.CaptureFixture[str], shown: dict[str, Any], text: str) -> None:
    DevConsole().event(shown)
    out = capsys.readouterr().out
    assert text in out
    assert out.count("\n") == 1


def test_what_a_tool_says_can_not_touch_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    said = "\x1b[31mred\n[bold]not markup[/bold]"
    DevConsole().event(event("step.failed", run=RUN, step="mail", phase="Failed", attempt=1, seconds=1, error=said))
    out = capsys.readouterr().out
    assert "\\x1b[31mred\\n[bold]not markup[/bold]" in out
    assert out.count("\n") == 1


def test_a_folder_is_held_by_one(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from ordinaut_cli.dev import folder\n"
        "with folder.held(pathlib.Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(CommandError) as refused, folder.held(tmp_path):
            pass
        assert f"process {other.pid}" in refused.value.lines[0]
        other.kill()
    with folder.held(tmp_path) as free:
        assert free.log("api").parent.is_dir()


@pytest.mark.parametrize(
    ("status", "text"),
    [(0, "ended with status 0"), (2, "ended with status 2"), (-signal.SIGKILL, "was ended by SIGKILL"), (-99, "99")],
)
def test_the_end_of_a_process_is_told(status: int, text: str) -> None:
    assert text in describe_exit(status)


def test_a_process_on_the_lifeline_ends_when_nobody_holds_the_other_end() -> None:
    command = [sys.executable, "-m", "ordinaut_cli.dev.lifeline", "http.server", "0", "--bind", "127.0.0.1"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as child:
        assert child.stdin is not None
        assert child.poll() is None
        child.stdin.close()
        assert child.wait(20) == -signal.SIGTERM


def test_logs_begin_anew_and_the_ones_before_stay(tmp_path: Path) -> None:
    log = tmp_path / "api.log"
    for text in ("one", "two"):
        logs.begin(log)
        assert log.read_text() == ""
        log.write_text(text)
    assert (tmp_path / "api.log.old").read_text() == "one"


async def test_the_first_to_end_decides_and_the_others_are_cancelled() -> None:
    cancelled: list[str] = []

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append("yes")

    async def answer() -> int:
        await asyncio.sleep(0)
        return 7

    async def fail() -> None:
        await asyncio.sleep(0)
        raise CommandError("no")

    assert await first(endless(), answer()) == 7
    with pytest.raises(CommandError):
        await first(endless(), fail())
    assert cancelled == ["yes", "yes"]


async def test_the_first_to_end_ends_the_others_even_if_a_library_keeps_a_cancellation_to_itself() -> None:
    heard = []

    async def deaf_once() -> None:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                heard.append("yes")
                if len(heard) == 2:
                    raise

    async def answer() -> int:
        await asyncio.sleep(0)
        return 7

    async with asyncio.timeout(30):
        assert await first(deaf_once(), answer()) == 7
    assert heard == ["yes", "yes"]


def test_a_port_is_free_until_somebody_listens() -> None:
    assert is_free(free_port())


@pytest.mark.parametrize("address", ["postgresql://db/ordinaut", BY_PARTS])
def test_processes_are_told_an_address_or_left_to_the_variables_of_libpq(address: str, tmp_path: Path) -> None:
    made = programs(
        urls=Urls(database=address, redis="redis://cache"),
        data=folder.DataFolder(tmp_path),
        directory=tmp_path,
        api_port=1,
        workers=1,
    )

    assert {one.environment.get("ORDINAUT_DATABASE_URL", BY_PARTS) for one in made} == {address}
    assert all("ORDINAUT_REDIS_URL" in one.environment for one in made)


def test_servers_are_given_by_either_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert given("DATABASE_URL") is None
    monkeypatch.setenv("DATABASE_URL", "a")
    assert given("DATABASE_URL") == "a"
    monkeypatch.setenv("ORDINAUT_DATABASE_URL", "b")
    assert given("DATABASE_URL") == "b"
