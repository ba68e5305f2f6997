"""F3: workers replaced one after another under load: no step is carried out again, and none of them lingers."""

import signal
import time

import pytest

from tests.faults.conftest import Tell
from tests.faults.counts import choices, count, seconds
from tests.faults.scene import Scene, moment
from tests.running import Running
from tests.timing import at_most

RESTARTS = count("F3")
WORKERS = 2
GRACE = at_most(5)
"""Seconds; no step takes nearly as long."""


@pytest.mark.timeout(seconds("F3"))
async def test_restarts_under_load_repeat_no_step(scene: Scene, tell: Tell) -> None:
    chance = choices("F3")
    scene.operator()
    for _ in range(WORKERS):
        scene.worker(grace_seconds=GRACE, lease_seconds=30)
    slowest = 0.0
    async with scene.load():
        for _ in range(RESTARTS):
            leaving: Running = chance.choice(await scene.ready(at_least=WORKERS))
            scene.workers.remove(leaving)
            scene.worker(grace_seconds=GRACE, lease_seconds=30)
            await moment(chance, 0.01, 0.5)
            asked = time.monotonic()
            leaving.send(signal.SIGTERM)
            await scene.until(lambda one=leaving: one.process.poll() is not None, what="its end")  # type: ignore[misc]
            slowest = max(slowest, time.monotonic() - asked)
            assert leaving.process.returncode == 0, leaving.log()
    await scene.over()

    figures = scene.check(once=True)

    assert figures.redelivered == 0
    assert slowest < GRACE + at_most(2)
    tell("F3", figures, faults=RESTARTS)
