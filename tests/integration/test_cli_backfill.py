"""Backfills from the command line, made by a running operator and worked off by a running worker."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.processes import free_port
from tests.declaring import declare_at, task
from tests.integration.test_cli import Cli
from tests.running import Processes

pytestmark = pytest.mark.integration

HELLO = {"id": "greet", "uses": "std.log", "with": {"message": "${run.scheduledTime}"}}


@pytest.fixture
def cli(processes: Processes, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.setenv("ORDINAUT_CONFIG", str(tmp_path / "config.yaml"))
    daily = {"cron": "30 8 * * *", "timeZone": "Europe/Chisinau"}
    declare_at(database, task("daily", HELLO, schedules=[daily], suspend=True))
    port = free_port()
    processes.start("api", api_port=port)
    return Cli(f"http://127.0.0.1:{port}")


def test_a_backfill_is_planned_made_waited_for_and_told_of(cli: Cli, processes: Processes, tmp_path: Path) -> None:
    window = ["daily", "--from", "2026-10-24", "--to", "2026-10-26", "--tz", "Europe/Chisinau"]
    planned = cli("backfill", *window, "--dry-run")
    assert planned.exit_code == 0, planned.output
    assert planned.stdout.splitlines()[0] == (
        "daily, from 2026-10-23T21:00:00Z to 2026-10-26T21:59:59Z: 3 nominal times, 0 have fired, 3 runs would be made"
    )
    times = ["2026-10-24T05:30:00Z", "2026-10-25T06:30:00Z", "2026-10-26T06:30:00Z"]
    assert [line.split()[0] for line in planned.stdout.splitlines()[2:]] == times
    assert cli.json("backfills") == {"items": []}
    check_cancelling(cli)
    check_mistakes(cli)

    for module, settings in (("operator", {"source": "directory", "directory": tmp_path}), ("worker", {})):
        processes.start(module, **settings)
    made = cli("backfill", *window, "--max-active", "2", "--wait")
    assert made.exit_code == 0, made.output + processes.logs()
    created, *progress = made.stdout.splitlines()
    name = re.fullmatch(
        r"backfill (\S+) created, from \S+ to \S+: 3 nominal times, 0 have fired, 3 runs to make", created
    )
    assert name is not None, created
    assert progress[-1] == f"backfill {name[1]} Completed: 3 runs made, 0 under way"

    listed, _ = cli.json("backfills", "daily")["items"]
    assert (listed["metadata"]["name"], listed["status"]["phase"]) == (name[1], "Completed")
    row = cli("backfills").stdout.splitlines()[1].split()
    assert row[:7] == [name[1], "daily", "2026-10-23T21:00:00Z", "2026-10-26T21:59:59Z", "Completed", "3/3", "0"]
    fires = cli("fires", "daily").stdout.splitlines()[1:]
    assert [line.split()[0] for line in fires] == times[::-1]
    assert all(" Fired " in line and " Backfill " in line for line in fires)
    found: list[dict[str, Any]] = cli.json("runs", "--trigger", "backfill")["items"]
    assert {run["status"]["phase"] for run in found} == {"Succeeded"}
    assert sorted(run["spec"]["scheduledTime"] for run in found) == times

    again = cli("backfill", *window, "--wait")
    assert again.exit_code == 0, again.output
    assert "every nominal time of the window has fired" in again.stdout


def check_cancelling(cli: Cli) -> None:
    """What is cancelled before an operator has seen it makes nothing."""
    made = cli.json("backfill", "daily", "--from", "2026-10-24", "--to", "2026-10-26")
    cancelled = cli("cancel-backfill", made["metadata"]["name"])
    assert cancelled.stdout == f"backfill {made['metadata']['name']} Cancelled: 0 runs made, 0 under way\n"
    assert cli("cancel-backfill", made["metadata"]["name"]).exit_code == 1


def check_mistakes(cli: Cli) -> None:
    """Each is told with the option or field, and ends with a status."""
    for arguments, status, said in (
        (["daily", "--from", "soon"], 2, '--from: Invalid value: "soon": not a day'),
        (["daily", "--from", "2026-10-26", "--to", "2026-10-24"], 2, "from: Invalid value: "),
        (["daily", "--from", "2026-10-24", "--to", "2096-10-24"], 2, "later than now; it is "),
        (["nobody", "--from", "2026-10-24"], 1, "there is no Task default/nobody"),
    ):
        refused = cli("backfill", *arguments)
        assert refused.exit_code == status, refused.output
        assert said in refused.stderr
