"""
Operators killed at random, two or three of them at a time: every nominal time fires, and fires once.

Whoever leads does not matter to firing: all operators fire. ``ORDINAUT_TEST_KILLS`` says how many are killed,
``ORDINAUT_TEST_SEED`` repeats the choices of an earlier test.
"""

import os
import random
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from ordinaut.schedule import next_fires, parse_cron
from ordinaut.store.pool import Pool
from tests.chart.ledger import Ledger
from tests.declaring import declare, task
from tests.running import Processes, Running, until

SHORT = 2
KILLS = int(os.environ.get("ORDINAUT_TEST_KILLS", SHORT))
SEED = int(os.environ.get("ORDINAUT_TEST_SEED", time.time_ns() % 1_000_000))

LOG = {"id": "a", "uses": "std.log", "with": {"message": "hi"}}
EVERY = timedelta(seconds=10)
ABSENCE = timedelta(seconds=3)
A_SECOND = 30
"""Tasks that are due in the same second: enough that a kill hits while they are fired."""


def is_ready(operator: Running) -> bool:
    return operator.readiness().get("status") == "ready"


def wait(condition: Callable[[], object], operators: list[Running]) -> None:
    until(condition, what=lambda: "\n".join(one.log() for one in operators), seconds=60)


@pytest.mark.timeout(120 + 30 * KILLS)
@pytest.mark.parametrize("replicas", [2, 3] if KILLS > SHORT else [3])
async def test_killed_operators_leave_no_time_out_and_fire_none_twice(
    pool: Pool, database: str, processes: Processes, tmp_path: Path, replicas: int
) -> None:
    print(f"ORDINAUT_TEST_SEED={SEED}")
    chance = random.Random(SEED + replicas)
    (folder := tmp_path / "manifests").mkdir()
    expressions = {f"t{n}": f"{n % 10}/10 * * * * *" for n in range(10 * A_SECOND)}
    await declare(
        pool,
        *(
            task(name, LOG, schedules=[{"cron": expression}], catchUp={"policy": "All"})
            for name, expression in expressions.items()
        ),
    )
    ledger = Ledger(database)
    began: datetime = ledger.one("SELECT min(evaluated_at) FROM task_clock")

    def start() -> Running:
        return processes.start("operator", wait=False, source="directory", directory=folder, log_level="WARNING")

    operators = [start() for _ in range(replicas)]
    for _ in range(KILLS):
        wait(lambda: any(map(is_ready, operators)), operators)
        fired = ledger.one("SELECT count(*) FROM fire")
        wait(lambda fired=fired: ledger.one("SELECT count(*) FROM fire") > fired, operators)  # type: ignore[misc]
        # Somewhere within a second: it hits before, within and after the transactions of one.
        end = time.monotonic() + chance.random()
        until(lambda end=end: time.monotonic() > end, what="the moment of the kill")  # type: ignore[misc]
        victim = chance.choice([one for one in operators if is_ready(one)] or operators)
        operators.remove(victim)
        victim.kill()
        operators.append(start())
    if replicas == 2:  # nobody is left for a while
        for one in operators:
            one.kill()
        last: datetime = ledger.one("SELECT now()")
        until(lambda: ledger.one("SELECT now()") > last + ABSENCE, what="times that nobody fires", seconds=30)
        operators = [start()]
    over: datetime = ledger.one("SELECT now()")
    wait(lambda: ledger.one("SELECT min(next_fire_at) FROM task_clock") > over, operators)
    processes.kill()

    ledger.check_fires(EVERY)
    reached = dict(ledger.rows("SELECT name, next_fire_at FROM task JOIN task_clock USING (task_id)"))
    times: dict[str, list[datetime]] = {name: [] for name in expressions}
    for name, at in ledger.rows("SELECT name, scheduled_at FROM fire JOIN task USING (task_id) ORDER BY 1, 2"):
        times[name].append(at)
    for name, expression in expressions.items():
        due = next_fires(parse_cron(expression), after=began, limit=10_000)
        # Each was declared at the same instant, so that the first time of all is known.
        assert times[name] == [at for at in due if at < reached[name]], name
    print(f"{sum(map(len, times.values()))} fires, {KILLS} kills of {replicas} operators")
