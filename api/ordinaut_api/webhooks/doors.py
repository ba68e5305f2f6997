"""
The doors that hooks are: who may come in by one, and how often.

``delivering`` asks for each delivery. A key that can't be read is told in the log with its remedy, once; to whoever
delivers only that it is so, since that may be anybody.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cachetools import LRUCache

from ordinaut.logging import get_logger
from ordinaut.store.hooks import Hook
from ordinaut_api.identity.windows import Standing, Windows
from ordinaut_api.webhooks.secrets import Nowhere, Reference, Secrets
from ordinaut_api.webhooks.styles import Style, github, standard, stripe

STYLES: Final[Mapping[str, Style]] = {"Standard": standard.STYLE, "GitHub": github.STYLE, "Stripe": stripe.STYLE}
"""By the names that specs use."""

_TOLD: Final = 1000
"""Keys of which it is remembered what has been said about them."""

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Door:
    """A hook as a delivery meets it."""

    namespace: str
    name: str
    topic: str
    style: Style
    references: tuple[Reference, ...]

    @classmethod
    def of(cls, hook: Hook, *, namespace: str, name: str) -> "Door":
        """Return the door that a valid hook describes."""
        signature: Mapping[str, Any] = hook.spec["signature"]
        references = tuple(Reference(namespace, one["name"], one["key"]) for one in signature["secretRefs"])
        return cls(namespace, name, hook.spec["topic"], STYLES[signature["style"]], references)

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class Doors:
    """What all doors share: the keys, and a limit on deliveries a minute for each; 0 allows any."""

    def __init__(
        self, secrets: Secrets | None = None, *, limit: int = 0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._secrets = secrets or Secrets(Nowhere())
        self._deliveries = Windows(limit, clock=clock)
        self._troubles: LRUCache[Reference, str] = LRUCache(_TOLD)

    async def keys(self, door: Door) -> tuple[Sequence[bytes], bool]:
        """Return the keys of a door that can be used, and whether these are all."""
        found = []
        for reference in door.references:
            read = await self._secrets.get(reference)
            why = read.why
            try:
                if read.text is not None:
                    found.append(door.style.key(read.text))
            except ValueError as error:
                why = f"the key {error}: write it as its sender shows it"
            self._tell(door, reference, why)
        return found, len(found) == len(door.references)

    def admit(self, door: Door) -> Standing:
        """Count a delivery whose signature is good; nobody else can use up what a door lets in."""
        return self._deliveries.hit((door.namespace, door.name))

    async def close(self) -> None:
        """End what is being read."""
        await self._secrets.close()

    def _tell(self, door: Door, reference: Reference, why: str) -> None:
        """Say once what is wrong with a key, and that it is well again."""
        before = self._troubles.pop(reference, "")
        if why:
            self._troubles[reference] = why
        if why and why != before:
            log.warning("a hook can't check signatures", hook=str(door), secret=str(reference), why=why)
        elif before and not why:
            log.info("a hook can check signatures again", hook=str(door), secret=str(reference))
