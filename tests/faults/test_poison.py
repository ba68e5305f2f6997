"""F13: a run that is the death of every worker which takes it up is parked; those that die with it are not."""

import os
import signal
import threading

import pytest

from ordinaut.states import RunPhase
from tests.declaring import declare, run_now, task, tool
from tests.faults.conftest import Tell
from tests.faults.counts import choices, count, seconds
from tests.faults.invariants import Figures, takeovers
from tests.faults.scene import LEASE, Scene, steps
from tests.toolserver import Answer, Effect

POISON = count("F13")
INNOCENT = 20
MAX_DELIVERIES = 3


@pytest.mark.timeout(seconds("F13"))
async def test_poison_is_parked_and_what_dies_with_it_goes_on(scene: Scene, tell: Tell) -> None:
    choices("F13")
    pids: dict[str, int] = {}
    over = threading.Event()

    def deadly(effect: Effect) -> Answer:
        """Kill whoever calls; not itself: the kernel answers for it."""
        run_id = effect.headers["X-Ordinaut-Run"]
        for (worker,) in scene.ledger.rows("SELECT worker FROM leased_work WHERE run_id = %s", run_id):
            os.kill(pids[worker], signal.SIGKILL)
        return Answer(None)

    def slow(effect: Effect) -> Answer:
        """Be under way for as long as there is poison."""
        over.wait(LEASE * 2)
        return Answer(effect.input)

    scene.tools.answers |= {"deadly": deadly, "slow": slow}
    await declare(
        scene.pool,
        *(tool(name, scene.tools.url) for name in ("deadly", "slow")),
        task("poison", {"id": "a", "uses": "deadly"}),
        task("innocent", *steps(["slow"])),
    )
    scene.operator(max_deliveries=MAX_DELIVERIES)
    made = [await run_now(scene.pool, namespace="default", name="innocent") for _ in range(INNOCENT // 2)]
    poison = [await run_now(scene.pool, namespace="default", name="poison") for _ in range(POISON)]
    made += [await run_now(scene.pool, namespace="default", name="innocent") for _ in range(INNOCENT // 2)]

    def keep_alive() -> bool:
        """Put a worker in the place of each that has died, as a Deployment does; tell whether the poison is parked."""
        for dead in [one for one in scene.workers if one.process.poll() is not None]:
            scene.workers.remove(dead)
        while len(scene.workers) < 2:
            worker = scene.worker(worker_slots=64)
            pids[scene.name(worker)] = worker.process.pid
        parked = scene.ledger.one("SELECT count(*) FROM run WHERE phase = 'Parked' AND run_id = ANY(%s)", poison)
        return bool(parked == POISON)

    await scene.until(keep_alive, what="the poison to be parked", seconds=60 + 30 * POISON)
    over.set()
    await scene.until(lambda: scene.ledger.unfinished() == 0, what="the end of all runs")

    ended = scene.ledger.runs()
    assert {ended[run_id] for run_id in made} == {RunPhase.SUCCEEDED}
    counted = "SELECT DISTINCT count(*) FROM witness.delivery WHERE run_id = ANY(%s) GROUP BY run_id"
    assert scene.ledger.rows(counted, poison) == [(MAX_DELIVERIES,)]
    reasons = scene.ledger.rows("SELECT DISTINCT reason FROM run WHERE run_id = ANY(%s)", poison)
    assert reasons == [("MaxDeliveriesExceeded",)]
    figures = Figures(
        runs=len(ended),
        redelivered=scene.ledger.one("SELECT count(*) FROM witness.expiry"),
        takeovers=takeovers(scene.ledger, {}),
    )
    tell("F13", figures, faults=POISON)
