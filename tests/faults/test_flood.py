"""
F15: ten times more due than there is capacity, a namespace that floods the queue, and one that asks for a single run.

The single one starts at once, and what a worker needs is bounded by its slots, not by the backlog.
"""

import psutil
import pytest

from ordinaut.store.pool import Pool
from tests.declaring import declare, manifest, run_now
from tests.faults.conftest import Tell
from tests.faults.counts import count, seconds
from tests.faults.invariants import Figures
from tests.faults.scene import Scene
from tests.timing import at_most
from tests.toolserver import Answer, Effect

FLOOD = 1000
SLOTS = 50
"""Two workers' worth: of one that is busy there are twenty times as many."""

STEP_SECONDS = 0.2

MEMORY = 64 << 20
"""Bytes that a worker may need more under the flood than before it."""


async def flood(pool: Pool, *, runs: int) -> None:
    """Make many runs of a task of one namespace."""
    for _ in range(runs):
        await run_now(pool, namespace="loud", name="t")


@pytest.mark.timeout(seconds("F15"))
async def test_a_flood_of_one_namespace_holds_up_nobody_else(scene: Scene, tell: Tell) -> None:
    made = scene.tools.gate("until the flood is there")

    def slowly(effect: Effect) -> Answer:
        """Take long enough that the flood lasts."""
        made.wait(60)
        scene.tools.gate("never").wait(STEP_SECONDS)
        return Answer(effect.input)

    scene.tools.answers["work"] = slowly
    for namespace in ("loud", "quiet"):
        await declare(
            scene.pool,
            manifest("Tool", "work", {"http": {"url": f"{scene.tools.url}/work"}}, namespace=namespace),
            manifest("Task", "t", {"pipeline": {"steps": [{"id": "a", "uses": "work"}]}}, namespace=namespace),
        )
    scene.operator()
    workers = [scene.worker(worker_slots=SLOTS // 2, lease_seconds=30) for _ in range(2)]
    await scene.ready(at_least=2)
    before = [psutil.Process(one.process.pid).memory_info().rss for one in workers]

    await flood(scene.pool, runs=FLOOD)
    single = await run_now(scene.pool, namespace="quiet", name="t")
    waiting = scene.ledger.one("SELECT count(*) FROM due_work")
    made.set()
    await scene.until(
        lambda: scene.ledger.one("SELECT count(*) FROM witness.delivery WHERE run_id = %s", single),
        what="the single run to start",
    )
    left = scene.ledger.one("SELECT count(*) FROM due_work")
    (waited,) = scene.ledger.rows(
        "SELECT extract(epoch FROM d.at - r.created_at)::float8 FROM witness.delivery d JOIN run r USING (run_id)"
        " WHERE run_id = %s",
        single,
    )[0]
    await scene.until(lambda: scene.ledger.unfinished() == 0, what="the end of all runs")

    assert waiting > 10 * SLOTS  # there was a flood
    assert left > waiting - 5 * SLOTS  # and the single one did not wait for its end
    assert waited < at_most(2)
    after = [psutil.Process(one.process.pid).memory_info().rss for one in workers]
    assert max(now - then for now, then in zip(after, before, strict=True)) < MEMORY
    tell("F15", Figures(runs=FLOOD + 1, takeovers=[waited]), faults=count("F15"))
