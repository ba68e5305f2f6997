"""
Name the place of a value inside a JSON document, as Kubernetes writes it: ``with.items[0].name``.

The template and schema compilers call this for every mistake they report; the text ends in ``FieldError.field`` and so
in kubectl's, REST's and the command line's answers.
"""

import re

from ordinaut.errors import MAX_SHOWN_VALUE, shown

_PLAIN_NAME = re.compile(r"[A-Za-z_$][A-Za-z0-9_$-]{0,62}")


def child(field: str, key: str | int) -> str:
    """
    Return the path of ``key`` (a property's name or an item's index) inside the value at ``field``.

    A name that is not a plain word is quoted and escaped, because it may be hostile: a newline in a property's name
    must not start a new line in a log.
    """
    if isinstance(key, int):
        return f"{field}[{key}]"
    if not _PLAIN_NAME.fullmatch(key):
        return f"{field}[{shown(key[:MAX_SHOWN_VALUE])}]"
    return f"{field}.{key}" if field else key
