"""
When a request is sent again, and after how long. Pure: ``connection`` sends and waits.

A request that surely was not done can always be repeated. One whose answer was lost may have been done; it is repeated
only if doing it twice is the same as doing it once: reading, PUT, PATCH and DELETE without ``If-Match``, and whatever
carries an ``Idempotency-Key``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final


class Outcome(Enum):
    """What became of one try."""

    FINAL = auto()
    """It was answered, and asking again would not change the answer."""
    NOT_DONE = auto()
    """It surely was not done: there was no connection, or the API sent it away."""
    UNSURE = auto()
    """It may have been done: the connection broke, or a server in between answered for the API."""


_NOT_DONE: Final = frozenset({429})
_UNSURE: Final = frozenset({502, 503, 504})


def outcome_of(status: int) -> Outcome:
    """Return what a status says about a try."""
    if status in _NOT_DONE:
        return Outcome.NOT_DONE
    return Outcome.UNSURE if status in _UNSURE else Outcome.FINAL


@dataclass(frozen=True, slots=True)
class Retries:
    """How patient a client is. Times are seconds; ``limit=0`` never tries again."""

    limit: int = 4
    first: float = 0.25
    """The back-off before the second try; each later one is twice as long."""
    cap: float = 8.0
    """The longest back-off."""
    patience: float = 60.0
    """The longest wait that the API may ask for by ``Retry-After``; for more, the error is raised at once."""

    def delay(
        self, outcome: Outcome, *, tries: int, repeatable: bool, asked: float | None, draw: Callable[[], float]
    ) -> float | None:
        """
        Return how long to wait before the next try, or None if there is to be none.

        Args:
            outcome: of the latest try.
            tries: how many there were, at least 1.
            repeatable: whether doing the request twice is the same as doing it once.
            asked: the wait that the API asked for, which is never undercut.
            draw: a source of numbers in [0, 1), so that many clients do not come back at the same moment.
        """
        if outcome is Outcome.FINAL or (outcome is Outcome.UNSURE and not repeatable) or tries > self.limit:
            return None
        if asked is not None and asked > self.patience:
            return None
        back_off = min(self.cap, self.first * 2.0 ** min(tries - 1, 30))
        jittered = back_off * (0.5 + draw() / 2)
        # On top of what was asked for: everybody was told the same moment.
        return jittered if asked is None else asked + jittered * 0.1
