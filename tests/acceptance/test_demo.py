"""The demo that ``make demo`` runs, from its first line to its last."""

import re
import sys
from pathlib import Path

import pytest

from tests.acceptance.session import example, session
from tests.cluster.processes import free_port

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("dev")]


def test_the_briefing_runs_once_and_its_history_stays(place: Path) -> None:
    examples, port = example(place), free_port()
    command = [sys.executable, examples / "demo.py", examples / "morning-briefing", "--port", str(port)]
    with session(*command, "--once", "morning-briefing", port=port, cwd=place) as first:
        assert first.end() == 0, first.text
        succeeded = re.fullmatch(r"run ([0-9a-f-]{36}) Succeeded", first.lines[-1])
        assert succeeded, first.text
        run = succeeded[1]
        shown = [line.split(run[-6:])[1].strip() for line in first.lines if f" {run[-6:]} " in line]
        assert [line.split()[:2] for line in shown] == [
            ["▸", "run"],
            ["✓", "calendar"],
            ["✓", "weather"],
            ["↻", "mail"],
            ["…", "Waiting:"],
            ["✓", "mail"],
            ["✓", "plan"],
            ["✓", "notify"],
            ["✓", "Succeeded"],
        ]
        assert "503 Service Unavailable" in shown[3]
        assert "Good morning!" in first.text
        assert re.search(r"^mail +Succeeded +2 ", first.text, re.MULTILINE)
        assert "Warning" not in first.text
        assert "Traceback" not in first.text
    assert not (place / ".ordinaut" / "postgres" / "postmaster.pid").exists()

    with session(*command, "--run", "morning-briefing", port=port, cwd=place) as second:
        second.until_says("Where to look")
        history = [one["metadata"]["name"] for one in second.get("runs").json()["items"]]
        assert len(history) == 2
        assert run in history
        task = second.get("tasks/morning-briefing").json()
        assert task["status"]["timeZone"] == "Europe/Chisinau"
        assert len(task["status"]["upcoming"]) == 5
        second.process.terminate()
        assert second.end() == 0, second.text
