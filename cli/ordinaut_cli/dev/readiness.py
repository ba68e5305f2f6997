"""Waiting until a session's processes can do their job, and until a task can be run."""

import asyncio
import time
from typing import Any, Final

import httpx2

from ordinaut.client import Client, NotFound
from ordinaut_cli.dev.processes import Program
from ordinaut_cli.dev.servers import last_lines
from ordinaut_cli.errors import CommandError

READY_TIMEOUT: Final = 60.0
"""Seconds until a process that is not ready ends the session with its reasons."""

RUNNABLE_TIMEOUT: Final = 10.0
"""Seconds until the task that is to be run must be there and ready."""

POLL: Final = 0.1
_OK: Final = 200


async def until_ready(program: Program) -> None:
    """Return when a process says that it is ready; raises `CommandError` with its reasons when it takes too long."""
    deadline = time.monotonic() + READY_TIMEOUT
    url = f"http://127.0.0.1:{program.probe_port}/readyz"
    why = "it does not answer"
    async with httpx2.AsyncClient(trust_env=False, timeout=2) as http:
        while time.monotonic() < deadline:
            try:
                answer = await http.get(url)
            except httpx2.HTTPError:
                why = "it does not answer"
            else:
                if answer.status_code == _OK:
                    return
                why = "; ".join(f"{need}: {reason}" for need, reason in answer.json().get("reasons", {}).items())
            await asyncio.sleep(POLL)
    raise CommandError(f"{program.name} is not ready after {READY_TIMEOUT:g} s: {why}", *last_lines(program.log))


async def until_runnable(client: Client, task: str) -> None:
    """Return when a task exists and is ready; raises `CommandError` with the reason when that takes too long."""
    deadline = time.monotonic() + RUNNABLE_TIMEOUT
    why = "there is no manifest of it"
    while time.monotonic() < deadline:
        try:
            found = await client.tasks.get(task)
        except NotFound:
            pass
        else:
            ready = _ready(found)
            if ready["status"] == "True":
                return
            why = f"{ready['reason']}: {ready['message']}"
        await asyncio.sleep(POLL)
    raise CommandError(f"task {task} cannot run: {why}")


def _ready(found: Any) -> Any:
    return next(one for one in found["status"]["conditions"] if one["type"] == "Ready")
