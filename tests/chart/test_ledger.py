"""Shows that the ledger finds what must never be: each invariant is broken by hand in what a worker has left behind."""

from collections.abc import Callable
from datetime import timedelta

import psycopg

from ordinaut.store.pool import Pool
from tests.chart.ledger import Ledger
from tests.declaring import declare, run_now, task, tool
from tests.running import Processes, until
from tests.toolserver import ToolServer

STEPS = ["one", "two"]


async def test_each_broken_invariant_is_found(
    pool: Pool, database: str, processes: Processes, toolserver: ToolServer
) -> None:
    steps = [{"id": name, "uses": name} for name in STEPS]
    await declare(pool, *(tool(name, toolserver.url) for name in STEPS), task("t", *steps))
    processes.start("worker")
    for _ in range(3):
        await run_now(pool, namespace="default", name="t")
    ledger = Ledger(database)
    until(lambda: not ledger.unfinished(), what="all runs to end")
    every, effects = timedelta(seconds=10), toolserver.effects
    assert ledger.check(steps=STEPS, every=every, effects=effects, once=True) == 3

    a_run = "(SELECT min(run_id::text)::uuid FROM run)"
    broken: dict[str, Callable[[], None]] = {
        f"UPDATE run SET phase = 'Failed' WHERE run_id = {a_run}": ledger.check_runs,
        "INSERT INTO due_work (urgency, run_id) VALUES (4, gen_random_uuid())": ledger.check_runs,
        "INSERT INTO fire (task_id, scheduled_at, outcome, run_id) VALUES (1, now(), 'Fired', gen_random_uuid())": (
            lambda: ledger.check_fires(every)
        ),
        f"DELETE FROM step WHERE run_id = {a_run} AND step_id = 'two'": lambda: ledger.check_steps(STEPS),
        "DELETE FROM outbox WHERE id = (SELECT max(id) FROM outbox)": lambda: ledger.check_events(STEPS),
    }
    for statement, check in broken.items():
        with psycopg.connect(database, options="-c search_path=ordinaut") as connection:
            connection.execute(statement)
        assert not holds(check), statement
    assert not holds(lambda: ledger.check_calls(STEPS, effects[1:], once=True))
    assert not holds(lambda: ledger.check_calls(STEPS, [*effects, effects[0]], once=True))


def holds(check: Callable[[], None]) -> bool:
    try:
        check()
    except AssertionError:
        return False
    return True
