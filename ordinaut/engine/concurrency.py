"""
Concurrency keys: what the templates in a task's ``concurrency`` say about the params of a run.

``declaration`` renders them when a task is declared and when somebody runs it with other params, never while firing;
the keys then go with the run through ``ordinaut.store.keys``, where runs with equal ones wait for each other.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson

from ordinaut.engine.template import Template, compile_template
from ordinaut.errors import FieldError, Invalid, Mistakes, Permanent
from ordinaut.remembering import remembered
from ordinaut.resources.task import ConcurrencyKey

MAX_KEY: Final = 512
"""Characters of a rendered key."""

_ROOTS: Final = frozenset({"params"})


def check_keys(entries: Iterable[ConcurrencyKey], *, field: str) -> None:
    """
    Check the templates of entries that stand at ``field``.

    Raises:
        Invalid: every mistake, each with its field.
    """
    mistakes = Mistakes()
    for place, entry in enumerate(entries):
        with mistakes.caught(under=_place(field, place)):
            _compiled(entry.key)
    mistakes.raise_any()


def render_keys(entries: Iterable[ConcurrencyKey], params: Mapping[str, Any], *, field: str) -> list[str]:
    """
    Return the key of each entry for a run with these params.

    Raises:
        Invalid: every key that the params don't give, each with its field and what to do.
    """
    keys, mistakes = [], Mistakes()
    for place, entry in enumerate(entries):
        with mistakes.caught(under=_place(field, place)):
            keys.append(_rendered(entry.key, params))
    mistakes.raise_any()
    return keys


def _rendered(source: str, params: Mapping[str, Any]) -> str:
    try:
        value = _compiled(source).render({"params": params})
    except Permanent as error:
        raise _refused(source, str(error), "or set the param") from None
    if value is None:
        raise _refused(source, "is null, which is no key", "give it a default: ${params.account || 'none'}")
    key = value if isinstance(value, str) else orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    if not key:
        raise _refused(source, "is empty for these params", "write text beside the template, such as account-${…}")
    if "\0" in key:
        raise _refused(source, "holds the character NUL for these params", "use params without it")
    if len(key) > MAX_KEY:
        message = f"has {len(key)} characters for these params, more than {MAX_KEY}"
        raise _refused(source, message, "use a param that is shorter, such as an id")
    return key


@remembered(entries=1024)
def _compiled(source: str) -> Template:
    return compile_template(source, roots=_ROOTS)


def _refused(source: str, message: str, remedy: str) -> Invalid:
    return Invalid([FieldError("", source, message, remedy)])


def _place(field: str, place: int) -> str:
    return f"{field}[{place}].key"
