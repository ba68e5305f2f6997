"""Taking over declared objects: 10,000 Tasks examined and applied in batches, and the same once more."""

from collections.abc import Sequence
from itertools import islice
from time import monotonic

from bench.report import Options, Report
from bench.system import System, system
from ordinaut.declaration.apply import apply
from ordinaut.declaration.examine import examine
from ordinaut.states import Origin
from ordinaut.store.declared import Declared
from tests.declaring import declare, pipeline, task

TASKS = 10_000
BATCH = 500


async def measure(options: Options) -> Report:
    """Declare some thousand tasks of one pipeline."""
    count = options.scaled(TASKS, least=BATCH)
    documents = [
        task(
            f"task-{n}",
            pipelineRef={"name": "shared"},
            params={"n": n},
            schedules=[{"cron": f"{n % 60} {n % 24} * * *"}],
        )
        for n in range(count)
    ]
    async with system() as it:
        await declare(it.pool, pipeline("shared", {"id": "say", "uses": "std.log", "with": {"message": "${params.n}"}}))
        start = monotonic()
        objects = [examine(document) for document in documents]
        examined = monotonic() - start
        new = await _applied(it, objects, changed=count)
        same = await _applied(it, objects, changed=0)
    return Report(
        f"{count} Tasks, new and once more, {BATCH} a transaction",
        "python -m bench sync",
        [
            ("examine", f"{examined:.2f} s"),
            ("apply, new", f"{new:.2f} s"),
            ("apply, unchanged", f"{same:.2f} s"),
        ],
        # The goal is of so many Tasks.
        {"sync.stored": examined + new} if count == TASKS else {},
    )


async def _applied(it: System, objects: Sequence[Declared], *, changed: int) -> float:
    """Apply all objects; return how many seconds that took."""
    start = monotonic()
    left = iter(objects)
    found = 0
    while batch := list(islice(left, BATCH)):
        found += len((await apply(it.pool, batch, origin=Origin.KUBERNETES)).changed)
    assert found == changed
    return monotonic() - start
