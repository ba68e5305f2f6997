"""
Puts the tables of values into the chart's README, between its two marks: a table for each first key of values.yaml.
"""

import json
from collections.abc import Sequence
from typing import Any, Final

from helm.making.values import Key

BEGIN: Final = "<!-- values: made by `make chart` of values.yaml -->"
END: Final = "<!-- end of values -->"


def render(text: str, keys: Sequence[Key]) -> str:
    """Return the README with the tables in the place of the old ones."""
    before, _, rest = text.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise ValueError(f"README.md: put the lines {BEGIN} and {END} where the values belong")
    return f"{before}{BEGIN}\n\n{tables(keys)}\n{END}{after}"


def tables(keys: Sequence[Key]) -> str:
    """Return the values in Markdown: single ones first, then a heading and a table for each section."""
    single = [key for key in keys if len(key.path) == 1 and not key.section]
    parts = [_table(single)]
    for key in keys:
        if len(key.path) == 1 and key.section:
            rows = [other for other in keys if other.path[0] == key.path[0] and len(other.path) > 1]
            parts.append(f"### {key.name}\n\n{_sentence(key.comment)}\n\n{_table(rows)}")
    return "\n".join(parts)


def _table(keys: Sequence[Key]) -> str:
    rows = [f"| `{key.name}` | {_default(key)} | {_cell(key.comment)} |" for key in keys]
    return "\n".join(["| key | default | meaning |", "|---|---|---|", *rows, ""])


def _default(key: Key) -> str:
    return "" if key.section else f"`{_cell(_shown(key.default))}`"


def _shown(default: Any) -> str:
    return json.dumps(default, ensure_ascii=False)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _sentence(comment: str) -> str:
    return comment[0].upper() + comment[1:] + "."
