"""Workers: which live, and what of a namespace they hold."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from ordinaut.client.declared import Namespaced

if TYPE_CHECKING:
    from ordinaut import shapes


class Workers(Namespaced):
    """The workers, as a namespace sees them."""

    def list(self, *, limit: int | None = None) -> AsyncIterator["shapes.Worker"]:
        """Yield workers that live, by name, with the runs of the namespace that they hold."""
        return self._pages("Worker", self._path("workers"), limit=limit)
