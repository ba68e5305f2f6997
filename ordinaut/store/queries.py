"""
The named SQL statements of the store, read from ``sql/*.sql``.

SQL lives in files of one topic each, so that it can be read, reviewed and explained as SQL. A statement starts with
``-- name --`` and a line that says what it is for, and has ``%(name)s`` placeholders; lists are ``%(name)b``, in
binary, since escaping the elements of a list as text takes ten to three hundred times as long. The modules of this
package are the only callers; a test runs each statement, and another checks that each is used.
"""

import re
from importlib import resources
from typing import LiteralString

_HEADER = re.compile(r"^-- ([a-z0-9_]+) --$", re.MULTILINE)


def parse(text: LiteralString) -> dict[str, LiteralString]:
    """Return the statements of one file by name, without their describing comments."""
    parts = _HEADER.split(text)
    statements: dict[str, LiteralString] = {}
    for name, body in zip(parts[1::2], parts[2::2], strict=True):
        if name in statements:
            raise ValueError(f"two statements are named {name}")
        lines = [line for line in body.strip().splitlines() if not line.startswith("--")]
        # The text comes from files of this package, never from input.
        statements[name] = "\n".join(lines).rstrip(";")
    return statements


def _load() -> dict[str, LiteralString]:
    statements: dict[str, LiteralString] = {}
    for file in sorted(resources.files(__package__).joinpath("sql").iterdir(), key=lambda entry: entry.name):
        if file.name.endswith(".sql"):
            found = parse(file.read_text(encoding="utf-8"))
            if twice := statements.keys() & found.keys():
                raise ValueError(f"{file.name} repeats the names {sorted(twice)}")
            statements |= found
    return statements


SQL = _load()
"""All statements by name."""
