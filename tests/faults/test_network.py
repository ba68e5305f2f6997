"""
F6: the network to PostgreSQL fails: connections are reset, swallowed, slow, or cut when a commit is on its way back.

Workers and operator see the database through the proxy only; runs are made and judged without it.
"""

import pytest

from tests.faults.conftest import Tell
from tests.faults.counts import choices, count, seconds
from tests.faults.proxy import DatabaseProxy, Fault
from tests.faults.scene import Scene, moment
from tests.running import Processes

FAULTS = count("F6")
WORKERS = 2
WEIGHTS = {Fault.RESET: 5, Fault.COMMIT_REPLY: 10, Fault.LATENCY: 2, Fault.BLACK_HOLE: 1}


@pytest.mark.timeout(seconds("F6"))
async def test_a_failing_network_loses_nothing_and_repeats_no_commit(
    scene: Scene, database: str, processes: Processes, tell: Tell
) -> None:
    chance = choices("F6")
    with DatabaseProxy(database) as proxy:
        processes.environment["ORDINAUT_DATABASE_URL"] = proxy.url
        started = [scene.operator(recovery_seconds=1), *(scene.worker() for _ in range(WORKERS))]
        await scene.ready(at_least=WORKERS)
        async with scene.load():
            proxy.strike(Fault.BLACK_HOLE, chance=chance)
            while proxy.done.total() < FAULTS:
                (fault,) = chance.choices(list(WEIGHTS), weights=list(WEIGHTS.values()))
                proxy.strike(fault, chance=chance)
                await moment(chance, 0.02, 0.3)
        await scene.over()

        figures = scene.check()

        assert [one.process.poll() for one in started] == [None] * len(started)
        print(dict(proxy.done))
        assert proxy.done[Fault.COMMIT_REPLY] > 0
        tell("F6", figures, faults=proxy.done.total())
