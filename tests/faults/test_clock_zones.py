"""An operator is replaced by one with newer time zone data: it moves what moved, says how many, and fires on time."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from ordinaut.schedule import tzdata_version
from tests import oldzones
from tests.chart.ledger import Ledger
from tests.declaring import task
from tests.running import Processes, Running, until

LOG = {"id": "a", "uses": "std.log", "with": {"message": "hi"}}
HOUR = timedelta(hours=1)
ZONE = "Asia/Kathmandu"


def clocks(ledger: Ledger) -> dict[str, datetime | None]:
    return dict(ledger.rows("SELECT name, next_fire_at FROM task JOIN task_clock USING (task_id)"))


def wait_for(ledger: Ledger, count: int, operator: Running) -> dict[str, datetime | None]:
    until(lambda: len(clocks(ledger)) == count, what=operator.log)
    return clocks(ledger)


def test_a_new_version_moves_the_tasks_whose_times_moved(database: str, processes: Processes, tmp_path: Path) -> None:
    """The older copy says +05:30 of Kathmandu, which has kept +05:45 since 1986: a quarter of an hour, all year."""
    (folder := tmp_path / "manifests").mkdir()
    older = oldzones.older_copy(tmp_path / "older", zones={ZONE: "<+0530>-5:30"})
    # Far enough from now that nothing fires in between, whenever this runs.
    hour = (datetime.now(UTC) + 12 * HOUR).hour
    written: dict[str, list[dict[str, Any]]] = {
        "moved": [{"cron": f"30 {hour} * * *", "timeZone": ZONE}],
        "moved-too": [{"rrule": "FREQ=DAILY", "dtstart": f"2026-01-01T{hour:02}:10:00", "timeZone": ZONE}],
        "unmoved": [{"cron": f"30 {hour} * * *"}],
        "elapsed": [{"interval": "1000h"}],
        "busy": [{"cron": "*/10 * * * * *", "timeZone": ZONE}],
    }
    documents = [task(name, LOG, schedules=schedules, catchUp={"policy": "All"}) for name, schedules in written.items()]
    (folder / "tasks.yaml").write_text(yaml.safe_dump_all(documents))
    ledger = Ledger(database)

    before = dict(processes.environment)
    processes.environment["PYTHONPATH"] = oldzones.environment(older)["PYTHONPATH"]
    old = processes.start("operator", source="directory", directory=folder)
    was = wait_for(ledger, len(written), old)
    until(lambda: ledger.one("SELECT count(*) FROM fire") >= 1, what=old.log)
    assert ledger.rows("SELECT DISTINCT tzdata FROM task_clock") == [(oldzones.VERSION,)]
    old.kill()
    queued = ledger.rows("SELECT run_id, scheduled_at, phase FROM run")

    processes.environment.clear()
    processes.environment.update(before)
    new = processes.start("operator", source="directory", directory=folder)
    until(lambda: ledger.rows("SELECT DISTINCT tzdata FROM task_clock") == [(tzdata_version(),)], what=new.log)
    until(lambda: new.metric("ordinaut_tzdata_moved_tasks_total") == 2, what=new.log)
    now = clocks(ledger)
    for name in ("moved", "moved-too"):
        assert now[name] == was[name] - HOUR / 4  # type: ignore[operator]
    assert {name: now[name] for name in ("unmoved", "elapsed")} == {name: was[name] for name in ("unmoved", "elapsed")}
    until(lambda: ledger.one("SELECT count(*) FROM fire") >= len(queued) + 2, what=new.log)
    assert set(ledger.rows("SELECT run_id, scheduled_at, phase FROM run")) >= set(queued)
    new.kill()
    ledger.check_fires(timedelta(seconds=10))
