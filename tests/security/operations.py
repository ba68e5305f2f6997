"""The operations of the API as its own description tells them, so that tests hold for routes that come later."""

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ordinaut.access.rights import Right
from ordinaut_api.app import create_app
from ordinaut_api.settings import ApiSettings
from tests.security.tenants import OURS

WITHOUT_RIGHT: Final = frozenset({"/v1/whoami"})
"""What every identity may ask."""

_METHODS: Final = ("get", "put", "post", "delete", "patch")
_ANY_RUN: Final = str(uuid.UUID(int=0x0190_0000_0000_7000_8000_0000_0000_0001))


@dataclass(frozen=True)
class Operation:
    """A method of a path."""

    id: str
    method: str
    template: str
    right: Right | None
    described: Mapping[str, Any]

    def path(self, *, namespace: str = OURS, run: str = _ANY_RUN, name: str = "unknown") -> str:
        """Return a path that leads here, to things that need not exist."""
        found = self.template
        for parameter in self.described.get("parameters", ()):
            if parameter["in"] == "path":
                other = run if parameter["schema"].get("format") == "uuid" else name
                value = namespace if parameter["name"] == "namespace" else other
                found = found.replace(f"{{{parameter['name']}}}", value)
        assert "{" not in found, f"{self.template} has a parameter that is not described"
        return found

    @property
    def signed(self) -> bool:
        """Whether it takes a signature in place of a token."""
        return {"signature": []} in self.described["security"]

    def __str__(self) -> str:
        return f"{self.method} {self.template}"


def document() -> dict[str, Any]:
    """Return the OpenAPI document; nothing is connected to."""
    described: dict[str, Any] = create_app(ApiSettings(database_url="postgresql://127.0.0.1/none")).openapi()
    return described


def operations(described: Mapping[str, Any] | None = None) -> Iterator[Operation]:
    """Yield each operation under /v1; its parameters are there in full, not by reference."""
    whole = described or document()
    for template, item in whole["paths"].items():
        for method in _METHODS:
            if method in item and template.startswith("/v1/"):
                parameters = [*item.get("parameters", ()), *item[method].get("parameters", ())]
                one = {**item[method], "parameters": [_resolved(whole, parameter) for parameter in parameters]}
                verb, _, resource = one.get("x-ordinaut-right", "").partition(" ")
                right = Right(verb, resource) if resource else None
                yield Operation(one["operationId"], method.upper(), template, right, one)


def _resolved(whole: Mapping[str, Any], part: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" not in part:
        return part
    found: Any = whole
    for name in part["$ref"].removeprefix("#/").split("/"):
        found = found[name]
    return _resolved(whole, found)
