"""Plans of revisions, compiled once: what the run has pinned, ready to be carried out."""

from collections import OrderedDict

from ordinaut.engine.plan import Plan, compile_revision
from ordinaut.errors import FieldError, Invalid
from ordinaut.store import declared
from ordinaut.store.pool import Pool
from ordinaut_worker import patience

MAX_PLANS = 1024
"""Plans kept; some tens of KiB each."""


class Plans:
    """A cache of compiled revisions by digest, the least recently used dropped first."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._plans: OrderedDict[bytes, Plan] = OrderedDict()

    def known(self, digest: bytes) -> Plan | None:
        """Return the plan of a revision if it is here already."""
        if (plan := self._plans.get(digest)) is not None:
            self._plans.move_to_end(digest)
        return plan

    async def get(self, digest: bytes) -> Plan:
        """
        Return the plan of a revision.

        Raises:
            Invalid: this program can't run it, although another version accepted it.
        """
        if (plan := self.known(digest)) is not None:
            return plan
        body = await patience.read(self._pool, lambda connection: declared.revision_body(connection, digest))
        if body is None:
            raise Invalid([FieldError("revision", digest.hex(), "is not in the database", "run the task again")])
        plan = self._plans[digest] = compile_revision(body)
        if len(self._plans) > MAX_PLANS:
            self._plans.popitem(last=False)
        return plan
