"""
The check that every ``${`` in a free value is closed, long before a run would find out.

``with`` and ``output`` hold any JSON, and CEL can't look into that. A JSON Schema ``pattern`` can, so the API server
refuses with the pattern as its message; the pattern therefore says what it means in the name of its group. Here the
same message is followed by a remedy. What an expression means is for ``ordinaut.engine`` to check.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic.json_schema import JsonSchemaValue

from ordinaut.errors import FieldError
from ordinaut.resources.rules import Check, pattern

TEMPLATE_PATTERN: Final = r"^(?<each_template_is_closed>[^$]|\$+[^${]|\$\$+\{|\$\{[^}]+\})*\$*$"
"""
Text in which each ``${`` has a ``}`` after at least one character; ``$${`` stands for ``${`` itself.

Written for RE2 and ECMAScript; Python wants ``(?P<``.
"""

PATTERN_DEPTH: Final = 2
"""Levels of nested objects and lists that the CRD looks into; the models look into all."""

_CLOSED: Final = re.compile(TEMPLATE_PATTERN.replace("(?<", "(?P<"))
_SECRET: Final = re.compile(r"(?<!\$)\$\{[^}]*\bsecrets\s*[.\[]")


@dataclass(frozen=True, slots=True)
class Templates(Check):
    """Marks free JSON whose text may hold templates."""

    secrets: bool = False
    """Whether ``${secrets.NAME.KEY}`` works here."""

    def failures(self, value: Any, *, field: str) -> Iterator[FieldError]:
        """Yield one mistake for each text in ``value`` with a template that isn't closed or isn't supported."""
        if isinstance(value, str):
            yield from self._in_text(value, field)
        elif isinstance(value, dict):
            for key, inner in value.items():
                yield from self.failures(inner, field=f"{field}.{key}")
        elif isinstance(value, list):
            for index, inner in enumerate(value):
                yield from self.failures(inner, field=f"{field}[{index}]")

    def _in_text(self, text: str, field: str) -> Iterator[FieldError]:
        if "${" not in text:
            return
        if not _CLOSED.fullmatch(text):
            message = f"{field} in body should match '{TEMPLATE_PATTERN}'"
            yield FieldError(field, text, message, "close each ${ with a } after its expression")
        elif not self.secrets and _SECRET.search(text):
            yield FieldError(field, text, "secrets are not supported yet", "write no ${secrets…} until a later release")

    def describe(self, schema: JsonSchemaValue) -> None:
        """Make ``schema``, which admits any JSON or any object, ask for closed templates."""
        if schema.get("type") == "object":
            schema["additionalProperties"] = _closed(PATTERN_DEPTH)
        else:
            schema |= _closed(PATTERN_DEPTH)


def _closed(depth: int) -> dict[str, Any]:
    """Return the schema of any JSON whose texts, down to ``depth`` levels, have closed templates."""
    anything: dict[str, Any] = {
        "x-kubernetes-preserve-unknown-fields": True,
        "nullable": True,  # else the API server drops properties that are null
        "pattern": TEMPLATE_PATTERN,
    }
    if depth:
        anything["additionalProperties"] = anything["items"] = _closed(depth - 1)
    return anything


ClosedTemplate = Annotated[
    str,
    pattern(
        TEMPLATE_PATTERN.replace("?<each_template_is_closed>", ""),
        message="has a ${ without its end",
        remedy="close each ${ with a } after its expression; a ${ that is text is written $${",
    ),
]
"""Text that is a template itself."""
