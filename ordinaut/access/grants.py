"""
The access file: who may do what where Kubernetes is not asked.

It holds the hashes of static tokens, and the roles of tokens and of the groups and users of an OpenID Connect issuer::

    tokens:
    - name: nightly-agent
      sha256: 4d7c…            # `ordinaut token` makes a token and its hash
      bindings: [{role: editor, namespaces: [team-a]}]
    groups:
    - name: platform
      bindings: [{role: admin, namespaces: ["*"]}]

`load` reads it for the api and the operator (``accessfile`` again whenever it changes). What it does not grant is
denied.
"""

import hashlib
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Final, TypeVar

from pydantic import Field, ValidationError

from ordinaut.access.caller import Authority, Caller
from ordinaut.access.rights import ROLES, Right, Role
from ordinaut.errors import FieldError, Invalid, Mistake
from ordinaut.resources.jsonvalue import not_json
from ordinaut.resources.part import Part, broken_rules
from ordinaut.resources.rules import Rule, pattern
from ordinaut.resources.scalars import NAME_MESSAGE, NAME_PATTERN, Name
from ordinaut.resources.wording import field_errors
from ordinaut.resources.yamldocs import Document, read

TOKEN_PREFIX: Final = "ordt_"  # noqa: S105 - what tokens begin with
"""Tells our tokens from others at a glance, for scanners of leaked secrets too."""

_TOKEN_BYTES: Final = 32
EVERYWHERE: Final = "*"

_Where = Annotated[
    str,
    Field(min_length=1, max_length=63),
    pattern(
        rf"^\*$|{NAME_PATTERN}",
        message=NAME_MESSAGE,
        remedy=f'write the name of a namespace, or "{EVERYWHERE}" for all',
    ),
]
_Hash = Annotated[
    str,
    pattern("^[0-9a-f]{64}$", message="not a SHA-256", remedy="write the 64 digits that `ordinaut token` prints"),
]
_Theirs = Annotated[
    str,
    Field(min_length=1, max_length=253),
    Rule(
        cel="true",  # this file is never part of a CRD
        holds=str.isprintable,
        message="has characters that can't be printed",
        remedy="write it as the issuer does",
    ),
]
"""A name that an issuer gives."""


class Binding(Part):
    """A role in some namespaces."""

    role: Annotated[Role, Field(strict=False)]
    namespaces: list[_Where] = Field(min_length=1, max_length=1000)


class TokenGrant(Part):
    """A static token, known by its hash, and what its bearer may do."""

    name: Name
    sha256: _Hash
    bindings: list[Binding] = Field(max_length=1000)


class SubjectGrant(Part):
    """What a user or the members of a group of the OpenID Connect issuer may do."""

    name: _Theirs
    bindings: list[Binding] = Field(max_length=1000)


class AccessFile(Part):
    """All that the file can say."""

    tokens: list[TokenGrant] = Field(default=[])
    groups: list[SubjectGrant] = Field(default=[])
    users: list[SubjectGrant] = Field(default=[])


Allowed = Mapping[str, frozenset[Right]]
"""The rights by namespace, or by ``*``."""

_NOTHING: Final[frozenset[Right]] = frozenset()


@dataclass(frozen=True, slots=True)
class Grants:
    """What an access file grants."""

    _callers: Mapping[bytes, Caller]
    _tokens: Mapping[str, Allowed]
    _groups: Mapping[str, Allowed]
    _users: Mapping[str, Allowed]

    @classmethod
    def of(cls, file: AccessFile) -> "Grants":
        """Return what a checked file grants."""
        return cls(
            {bytes.fromhex(one.sha256): Caller(Authority.TOKENS, one.name) for one in file.tokens},
            _by_name(file.tokens),
            _by_name(file.groups),
            _by_name(file.users),
        )

    def caller_of(self, token: str) -> Caller | None:
        """
        Return whose static token this is.

        The hash is looked up, never the token compared: whatever the time of it tells is about the hash, from which
        nobody gets nearer to a token of 256 random bits.
        """
        return self._callers.get(hash_of(token))

    def allows(self, caller: Caller, right: Right, *, namespace: str) -> bool:
        """Tell whether the file gives a caller a right in a namespace."""
        return any(
            right in allowed.get(namespace, _NOTHING) or right in allowed.get(EVERYWHERE, _NOTHING)
            for allowed in self._of(caller)
        )

    def _of(self, caller: Caller) -> Iterator[Allowed]:
        """Yield what is granted to a caller, by itself and by its groups."""
        if caller.authority is Authority.TOKENS:
            yield self._tokens.get(caller.user, {})
        elif caller.authority is Authority.OIDC:
            yield self._users.get(caller.user, {})
            for group in caller.groups:
                yield self._groups.get(group, {})


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token to be handed to its bearer, and the hash of it for the access file."""

    token: str
    sha256: str


def new_token() -> NewToken:
    """Make a static token of 256 random bits."""
    token = TOKEN_PREFIX + secrets.token_urlsafe(_TOKEN_BYTES)
    return NewToken(token, hash_of(token).hex())


def hash_of(token: str) -> bytes:
    """Return the SHA-256 of a token: enough for 256 random bits, which nobody guesses, however fast the hash is."""
    return hashlib.sha256(token.encode()).digest()


def load(path: Path) -> Grants:
    """Return what a file grants; raises `Invalid` with every mistake in it, each with its file and line."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise Invalid([FieldError(str(path), [], f"can't be read: {why}", "correct the file or its path")]) from None
    return parse(text, source=str(path))


def parse(text: str, *, source: str) -> Grants:
    """Return what the text of an access file grants; ``source`` is its name, for messages."""
    documents = read(text, source=source)
    if len(documents) != 1:
        message = f"holds {len(documents)} documents"
        raise Invalid([FieldError(source, [], message, "write one, with tokens, groups or users")])
    document = documents[0]
    try:
        return Grants.of(_checked(document))
    except Invalid as invalid:
        raise Invalid(
            [_placed(error, f"{document.source}:{document.line_of(error.field)}") for error in invalid.errors]
        ) from None


def _placed(error: FieldError, place: str) -> FieldError:
    """Return the same mistake with its file and line in front."""
    field = f"{place}: {error.field}" if error.field else place
    if error.mistake is Mistake.UNKNOWN:
        return FieldError(field, [], error.message, error.remedy)
    if error.field.endswith(".sha256"):
        return replace(error, field=field, value=[])  # somebody may have written the token itself, not its hash
    return replace(error, field=field)


def _checked(document: Document) -> AccessFile:
    if not isinstance(document.data, Mapping):
        raise Invalid([FieldError("", [], "not an object", "write tokens, groups or users")])
    if found := list(not_json(document.data)):
        raise Invalid(found)
    try:
        file = AccessFile.model_validate(document.data, by_alias=True, by_name=False)
    except ValidationError as error:
        raise Invalid(list(field_errors(error, model=AccessFile))) from None
    mistakes = [*broken_rules(file), *_repeated(file)]
    if mistakes:
        raise Invalid(mistakes)
    return file


def _repeated(file: AccessFile) -> Iterator[FieldError]:
    """Yield a mistake for each second use of what must be unique: which of the two would count is anybody's guess."""
    yield from _twice("tokens", "name", [one.name for one in file.tokens])
    yield from _twice("tokens", "sha256", [one.sha256 for one in file.tokens])
    yield from _twice("groups", "name", [one.name for one in file.groups])
    yield from _twice("users", "name", [one.name for one in file.users])


def _twice(collection: str, field: str, values: Sequence[str]) -> Iterator[FieldError]:
    seen: set[str] = set()
    for index, value in enumerate(values):
        if value in seen:
            yield FieldError(f"{collection}[{index}].{field}", value, "stands here twice", "keep one of them")
        seen.add(value)


_Grant = TypeVar("_Grant", TokenGrant, SubjectGrant)


def _by_name(grants: Iterable[_Grant]) -> dict[str, Allowed]:
    return {one.name: _rights(one.bindings) for one in grants}


def _rights(bindings: Iterable[Binding]) -> Allowed:
    found: dict[str, frozenset[Right]] = {}
    for binding in bindings:
        for namespace in binding.namespaces:
            found[namespace] = found.get(namespace, _NOTHING) | ROLES[binding.role]
    return found
