"""F1: workers killed at random while many runs of several steps go on; nothing is lost or committed twice."""

import pytest

from tests.faults.conftest import Tell
from tests.faults.counts import choices, count, seconds
from tests.faults.scene import LEASE, Scene, moment
from tests.timing import at_most

KILLS = count("F1")
WORKERS = 4 if KILLS > 3 else 3


@pytest.mark.timeout(seconds("F1"))
async def test_killed_workers_lose_nothing_and_commit_nothing_twice(scene: Scene, tell: Tell) -> None:
    chance = choices("F1")
    scene.operator()
    for _ in range(WORKERS):
        scene.worker()
    async with scene.load():
        for _ in range(KILLS):
            ready = await scene.ready(at_least=2)
            await moment(chance, 0.01, 0.5)
            scene.kill(chance.choice(ready))
            scene.worker()
    await scene.over()

    figures = scene.check()

    assert figures.redelivered > 0  # something was under way when they died
    assert figures.takeover[1] is not None
    assert figures.takeover[1] < at_most(LEASE + 2)
    tell("F1", figures, faults=KILLS)
