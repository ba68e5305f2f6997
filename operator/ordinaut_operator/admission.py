"""
Admission as a control loop: runs that wait for concurrency keys go on as soon as there is room.

The clock calls :meth:`Admission.sweep` every second and :meth:`Admission.mend` from time to time, and wakes it on every
notification that keys are free, new runs wait, or limits have changed. What is decided, and by whom at a time, is
:mod:`ordinaut.store.admission`'s; any number of operators may do this at once.
"""

from typing import Final
from uuid import UUID

from ordinaut import metrics
from ordinaut.logging import get_logger
from ordinaut.store import admission, keys
from ordinaut.store.admission import Round
from ordinaut.store.pool import Pool
from ordinaut_operator.sweeper import Sweeper

CONTESTS: Final = 1000
"""Contests that each round of mending looks at."""

HOLDERS: Final = 2000
"""Runs with slots that each round of mending looks at."""

log = get_logger(__name__)


class Admission(Sweeper):
    """Lets runs go on whose keys are free."""

    def __init__(self, pool: Pool) -> None:
        super().__init__()
        self._pool = pool
        self._round = Round()
        self._healed: UUID = keys.START

    async def mend(self) -> int:
        """Free the slots of runs that have ended without that, and go round those that wait; returns how many runs."""
        async with self._pool.connection() as connection, connection.transaction():
            healed = await keys.heal(connection, after=self._healed, limit=HOLDERS)
            reached = await admission.go_round(connection, self._round, limit=CONTESTS)
        self._healed, self._round = healed.reached or keys.START, reached
        if healed.runs:
            metrics.KEYS_HEALED.inc(len(healed.runs))
            log.warning("slots of ended runs freed", runs=[str(run_id) for run_id in healed.runs[:20]])
        return len(healed.runs)

    async def _sweep(self) -> int:
        """Let go on whoever can; returns how many runs."""
        admitted = 0
        more = True
        while more:
            async with self._pool.connection() as connection:
                done = await admission.admit(connection)
            admitted += done.admitted
            more = done.more
        return admitted
