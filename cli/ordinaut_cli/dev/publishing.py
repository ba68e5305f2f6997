"""
The events with which a session of ``ordinaut dev`` begins, so that tasks with triggers have something to do.

``session`` calls :func:`publish` when everything is up. What the events trigger is told as everything else is.
"""

import asyncio
from pathlib import Path

from ordinaut.client import Client
from ordinaut_cli import eventfiles
from ordinaut_cli.dev.readiness import until_runnable
from ordinaut_operator.manifests import Scanner


async def publish(client: Client, file: Path, *, directory: Path) -> None:
    """Publish the events of a file when the tasks of the directory that wait for events are ready."""
    events = await asyncio.to_thread(eventfiles.read, str(file), option="--publish")
    for task in await asyncio.to_thread(_waiting, directory):
        await until_runnable(client, task)
    for part in eventfiles.portions(events):
        await client.events.publish_many([one.event for one in part])


def _waiting(directory: Path) -> list[str]:
    """Return the tasks that have triggers."""
    scan = Scanner(directory).scan()
    found = scan.found.values() if scan else ()
    return [one.key.name for one in found if one.key.kind == "Task" and one.document.get("spec", {}).get("triggers")]
