"""
The base of every model here, and the walk that finds the broken rules in one.

`manifest.parse` is the only caller of `broken_rules`: pydantic has then checked the structure, as the API server checks
a schema before it evaluates CEL.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from types import NoneType
from typing import Annotated, Any, ClassVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, model_validator
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from ordinaut.errors import FieldError
from ordinaut.resources.rules import Check, Rule


class Part(BaseModel):
    """
    An object in a manifest: its fields are strict in type, written in camelCase, and no others are allowed.

    Python code may construct one by field name or alias; manifests are read by alias only. Like the API server, it
    takes a field set to null for a field left out. The docstring under a field is its description in the CRD.
    """

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        use_attribute_docstrings=True,
    )

    rules: ClassVar[tuple[Rule, ...]] = ()
    """Conditions over several fields of this object."""

    @model_validator(mode="before")
    @classmethod
    def _drop_nulls(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and None in data.values():
            return {key: value for key, value in data.items() if value is not None}
        return data

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = handler.resolve_ref_schema(handler(core))
        for rule in cls.rules:
            rule.describe(schema)
        return schema

    def has(self, alias: str) -> bool:
        """Whether the field with this camelCase name was given, as CEL's ``has(self.alias)``."""
        fields = type(self).model_fields
        return any(fields[name].alias == alias for name in self.model_fields_set)

    def canonical(self) -> dict[str, Any]:
        """Return the object as plain JSON by alias, without what equals its default: equal meaning, equal result."""
        return self.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def broken_rules(part: Part, *, field: str = "") -> Iterator[FieldError]:
    """Yield every broken rule in ``part``, which stands at ``field``, and in all that it holds."""
    for rule in part.rules:
        yield from rule.failures(part, field=field)
    for name, alias, declared in _declared(type(part)):
        # What was not given is right by construction, as a default of the schema is to the API server.
        if name in part.model_fields_set:
            yield from _broken_in(getattr(part, name), declared, f"{field}.{alias}" if field else alias)


@cache
def _declared(model: type[Part]) -> tuple[tuple[str, str, Any], ...]:
    """Return name, alias and full type of each field of ``model``."""
    return tuple(
        (name, info.alias or name, Annotated[info.annotation, *info.metadata] if info.metadata else info.annotation)
        for name, info in model.model_fields.items()
    )


def _broken_in(value: Any, declared: Any, field: str) -> Iterator[FieldError]:
    """Yield the broken rules of one value of the ``declared`` type, following the type inwards."""
    inner, *more = get_args(declared) or (None,)
    if get_origin(declared) is Annotated:
        for check in more:
            if isinstance(check, Check):
                yield from check.failures(value, field=field)
        yield from _broken_in(value, inner, field)
    elif NoneType in more:
        yield from _broken_in(value, inner, field)
    elif isinstance(value, Part):
        yield from broken_rules(value, field=field)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _broken_in(item, inner, f"{field}[{index}]")
