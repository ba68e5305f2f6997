"""
How the parsers of this package report a mistake without knowing which field they read.

``cron_text`` and ``rrule_text`` raise ``GrammarError`` deep inside a term; ``blamed_on`` around the whole turns it into
the public ``Invalid`` that names the field and shows all of its value.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from ordinaut.errors import FieldError, Invalid, Mistake


class GrammarError(Exception):
    """A text breaks its grammar: what is wrong, and what to write instead."""

    def __init__(self, message: str, remedy: str, mistake: Mistake = Mistake.INVALID) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.mistake = mistake


@contextmanager
def blamed_on(field: str, value: str) -> Iterator[None]:
    """Turn a ``GrammarError`` of the block into an ``Invalid`` for ``field``."""
    try:
        yield
    except GrammarError as error:
        raise Invalid([FieldError(field, value, error.message, error.remedy, error.mistake)]) from None


def check_characters(text: str, *, longest: int) -> None:
    """Refuse line breaks, full-width digits and the like, and what is longer than ``longest`` characters."""
    if len(text) > longest:
        message = f"may not be more than {longest} bytes"
        raise GrammarError(message, "split it into several schedules", Mistake.TOO_LONG)
    if not (text.isascii() and text.isprintable()):
        raise GrammarError(
            "holds a line break or another character that is not printable ASCII", "write plain text on one line"
        )
