"""Calls of HTTP tools that are cancelled, as those of lost leases, cancelled runs and steps out of time are."""

import asyncio
import random

from ordinaut.resources.tool import HttpTool as HttpSpec
from ordinaut_worker.tools import Call
from ordinaut_worker.tools.http import HttpTool, client
from tests.toolserver import ToolServer

SLOTS = 4
CALL = Call({}, "run/step", "default", "t", "run", "step")


async def test_cancelled_calls_leave_their_connections_to_others(toolserver: ToolServer) -> None:
    chance = random.Random(7)
    async with client(connections=SLOTS) as http:
        tool = HttpTool(http, HttpSpec(url=f"{toolserver.url}/echo"), max_answer_bytes=1000)
        for _ in range(60):
            calls = [asyncio.create_task(tool(CALL)) for _ in range(3 * SLOTS)]
            for _ in range(chance.randrange(15)):  # each place at which a call may be when it is cancelled
                await asyncio.sleep(0)
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)

        async with asyncio.timeout(20):
            answers = await asyncio.gather(*(tool(CALL) for _ in range(SLOTS)))

    assert answers == [{}] * SLOTS
