"""
F12: steps that take longer than a lease, or that keep the interpreter to themselves: no lease of theirs runs out.

What keeps the interpreter is the worst that a Tool may ask for: a schema whose pattern is as costly as is allowed for
what it is matched with. The check is one call into a library that lets nobody else in, and all slots make it one after
another, for several leases on end.
"""

import random
from collections import Counter

import pytest

from ordinaut.engine.schema import MAX_PATTERN_WORK, compile_schema
from ordinaut.states import RunPhase
from tests.declaring import declare, run_now, task, tool
from tests.faults.conftest import Tell
from tests.faults.counts import count, seconds
from tests.faults.invariants import Figures
from tests.faults.scene import Scene
from tests.timing import at_most
from tests.toolserver import Answer, Effect

LONG = count("F12")
LEASE = min(15, at_most(5))
"""Seconds; where other tests run beside, everything takes longer."""

GREEDY, STEPS = 8 * LONG, 8
"""Runs and steps of them that take all of the CPU, for longer than a lease together."""

COSTLY = {"pattern": "^(([01]*1[01]{250}|[01]*0[01]{250}|[01]{250})+)$"}
"""Compiled, it is as large as a pattern may be; each character costs all of it."""

SHARE = 0.2
"""
Of the most that a check may cost, as the lease is a sixth of what it is by default.

A beat must get at the interpreter some ten times, each time after a check.
"""


@pytest.mark.timeout(seconds("F12"))
async def test_no_lease_runs_out_under_a_step_that_takes_long_or_all_of_the_cpu(scene: Scene, tell: Tell) -> None:
    size = int(SHARE * MAX_PATTERN_WORK / compile_schema(COSTLY, field="x")._document.pattern_bytes)
    text = "".join(random.Random(1).choices("01", k=size))  # the same each time: nothing here is left to chance

    def long(effect: Effect) -> Answer:
        scene.tools.gate("never").wait(1.5 * LEASE)
        return Answer(effect.input)

    scene.tools.answers |= {"long": long, "greedy": lambda _: Answer(text)}
    await declare(
        scene.pool,
        tool("long", scene.tools.url),
        tool("greedy", scene.tools.url, outputSchema=COSTLY),
        task("patient", {"id": "a", "uses": "long"}),
        task("greedy", *({"id": f"s{number}", "uses": "greedy"} for number in range(STEPS))),
    )
    scene.operator()
    scene.worker(lease_seconds=LEASE, worker_slots=64)
    made = [await run_now(scene.pool, namespace="default", name="patient") for _ in range(LONG)]
    made += [await run_now(scene.pool, namespace="default", name="greedy") for _ in range(GREEDY)]

    await scene.until(lambda: scene.ledger.unfinished() == 0, what="the end of all runs", seconds=60 + 20 * LONG)

    assert {scene.ledger.runs()[run_id] for run_id in made} == {RunPhase.SUCCEEDED}
    assert scene.ledger.rows("SELECT * FROM witness.expiry") == []
    calls = Counter(effect.key for effect in scene.tools.effects)
    assert {key: times for key, times in calls.items() if times > 1} == {}
    figures = Figures(runs=len(made))
    tell("F12", figures, faults=LONG)
