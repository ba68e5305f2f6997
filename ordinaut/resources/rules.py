"""
Rules that a type alone cannot express, each declared once beside its field and enforced in two places.

A `Rule` says the same thing twice: as a CEL expression, which ``crd`` puts into the CustomResourceDefinition for the
API server, and as a Python predicate, which `part.broken_rules` asks after pydantic has checked the structure. Both
refuse with the same message. Rules stand in ``Annotated`` metadata of a field, or in the ``rules`` of a `part.Part`
when they concern several of its fields.

`NotYet` marks what the API already has but this release cannot do. Deleting the marker is all it takes to switch a
field on.
"""

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from ordinaut.errors import FieldError

VALIDATIONS: Final = "x-kubernetes-validations"

STORED_DEFAULT: Final = "x-stored-default"
"""A note from `Stored` to ``crd``, which takes it out again."""


class Check(ABC):
    """Something in a field's metadata that checks its value and says so in the schema."""

    __slots__ = ()

    @abstractmethod
    def failures(self, value: Any, *, field: str) -> Iterator[FieldError]:
        """Yield the mistakes in ``value``, which stands at ``field``."""

    @abstractmethod
    def describe(self, schema: JsonSchemaValue) -> None:
        """Write the same check into ``schema``, the JSON Schema of the value."""

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = handler(core)
        self.describe(schema)
        return schema


@dataclass(frozen=True, slots=True)
class Culprit:
    """What a rule complains of: a CEL expression for the names of it, each after a space, and the same in Python."""

    cel: str
    name: Callable[[Any], str]


@dataclass(frozen=True, slots=True)
class Rule(Check):
    """
    A condition on one value.

    ``cel`` is evaluated with the value as ``self`` and must be true. It must not be costly: the API server bounds the
    estimate by the ``maxLength`` and ``maxItems`` of what it reads.
    """

    cel: str
    holds: Callable[[Any], bool]
    message: str
    remedy: str
    culprit: Culprit | None = None

    def failures(self, value: Any, *, field: str) -> Iterator[FieldError]:
        """Yield one mistake at ``field`` unless the condition holds."""
        if not self.holds(value):
            named = f":{self.culprit.name(value)}" if self.culprit else ""
            yield FieldError(field, _plain(value), self.message + named, self.remedy)

    def describe(self, schema: JsonSchemaValue) -> None:
        """Add the CEL rule to ``schema``."""
        rule = {"rule": self.cel, "message": f"{self.message}; {self.remedy}"}
        if self.culprit:
            opening, end = cel_string(f"{self.message}:"), cel_string(f"; {self.remedy}")
            rule["messageExpression"] = f"{opening} + {self.culprit.cel} + {end}"
        schema.setdefault(VALIDATIONS, []).append(rule)


@dataclass(frozen=True, slots=True)
class NotYet(Check):
    """Marks a field that a later release makes work: refused until then, never ignored."""

    remedy: str

    def failures(self, value: Any, *, field: str) -> Iterator[FieldError]:
        """Yield a mistake if the field is set."""
        yield FieldError(field, _plain(value), "not supported yet", self.remedy)

    def describe(self, schema: JsonSchemaValue) -> None:
        """Add a CEL rule that refuses the field."""
        schema.setdefault(VALIDATIONS, []).append({"rule": "false", "message": f"not supported yet; {self.remedy}"})


@dataclass(frozen=True, slots=True)
class Stored:
    """Marks a default that the API server writes into the object, because a column of ``kubectl get`` shows it."""

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(core) | {STORED_DEFAULT: True}


def cel_string(text: str) -> str:
    """Return ``text`` as a CEL literal."""
    return json.dumps(text, ensure_ascii=False)


def pattern(regex: str, *, message: str, remedy: str) -> Rule:
    """Return the rule that text matches ``regex``, which must mean the same to RE2 and to Python."""
    shape = re.compile(regex)
    return Rule(
        cel=f"self.matches({cel_string(regex)})",
        holds=lambda text: shape.fullmatch(text) is not None,
        message=message,
        remedy=remedy,
    )


def exactly_one(*aliases: str) -> Rule:
    """Return the rule that exactly one of these fields of an object is given."""
    given = ", ".join(f"has(self.{alias})" for alias in aliases)
    # Not a join of a filtered list: the API server has no bound for its cost.
    named = " + ".join(f'(has(self.{alias}) ? " {alias}" : "")' for alias in aliases)

    def names(part: Any) -> list[str]:
        return [alias for alias in aliases if part.has(alias)]

    return Rule(
        cel=f"[{given}].exists_one(given, given)",
        holds=lambda part: len(names(part)) == 1,
        message=f"exactly one of {', '.join(aliases[:-1])} and {aliases[-1]} must be set, found",
        remedy="set one of them and no other",
        culprit=Culprit(
            cel=f'([{given}].exists(given, given) ? {named} : " none")',
            name=lambda part: "".join(f" {name}" for name in names(part)) or " none",
        ),
    )


def at_most_one(*aliases: str) -> Rule:
    """Return the rule that no two of these fields of an object are given."""
    given = ", ".join(f"has(self.{cel_name(alias)})" for alias in aliases)
    return Rule(
        cel=f"[{given}].filter(given, given).size() <= 1",
        holds=lambda part: sum(part.has(alias) for alias in aliases) <= 1,
        message=f"{' and '.join(aliases)} exclude each other",
        remedy="keep one of them",
    )


def only_with(owner: str, *aliases: str) -> Rule:
    """Return the rule that these fields are given only together with ``owner``."""
    given = " || ".join(f"has(self.{cel_name(alias)})" for alias in aliases)
    return Rule(
        cel=f"has(self.{owner}) || !({given})",
        holds=lambda part: part.has(owner) or not any(part.has(alias) for alias in aliases),
        message=f"{', '.join(aliases)} can be set only together with {owner}",
        remedy=f"leave them out or set {owner}",
    )


def cel_name(alias: str) -> str:
    """Return the name by which CEL reaches a field: its reserved words are escaped."""
    return f"__{alias}__" if alias in {"if", "in", "for", "as", "import", "namespace"} else alias


def _plain(value: Any) -> object:
    """Return the value as JSON, for a mistake to carry."""
    return value.model_dump(by_alias=True, exclude_unset=True) if isinstance(value, BaseModel) else value
