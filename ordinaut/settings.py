"""
Settings that every process shares; each process adds its own in its ``settings.py``.

Values come from the environment (prefix ``ORDINAUT_``), so that a Deployment, a shell and a test set them alike. A
wrong value ends the process with the name, the value and the remedy, never with a traceback. Addresses may hold
passwords: they are never repeated.
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Self, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict
from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from ordinaut.access.caller import Authority
from ordinaut.errors import shown
from ordinaut.events import address
from ordinaut.logging import LogFormat

BY_PARTS: Final = ""
"""The address of a database that libpq's own variables describe: wherever it connects, libpq reads them."""


def database_by_parts() -> bool:
    """Whether libpq's variables name a server; they count where no address is given."""
    return bool(os.environ.get("PGHOST"))


class ProcessSettings(BaseSettings):
    """What every process needs."""

    model_config = SettingsConfigDict(env_prefix="ORDINAUT_", extra="ignore", populate_by_name=True)

    database_url: SecretStr = Field(
        validation_alias=AliasChoices("ORDINAUT_DATABASE_URL", "DATABASE_URL"),
        description="PostgreSQL 15 or newer, as postgresql://user:password@host:5432/database; or leave it out and set"
        " PGHOST, PGPORT, PGUSER, PGPASSWORD and PGDATABASE.",
    )
    redis_url: SecretStr = Field(
        default=SecretStr("redis://127.0.0.1:6379/0"),
        validation_alias=AliasChoices("ORDINAUT_REDIS_URL", "REDIS_URL"),
        description="Redis 6.2 or Valkey 8 or newer, for events only.",
    )
    log_level: str = Field(default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="Least level logged.")
    log_format: LogFormat = Field(default="json", description="json for machines, console for people.")
    probe_host: str = Field(default="0.0.0.0", description="Address of /healthz, /readyz and /metrics.")  # noqa: S104 - probes and scrapes come from outside the pod
    probe_port: int = Field(default=9090, ge=0, le=65535, description="Port of the same; 0 picks a free one.")

    @model_validator(mode="before")
    @classmethod
    def _database_by_parts(cls, given: dict[str, Any]) -> dict[str, Any]:
        named = {"database_url", *variables("database_url", cls.model_fields["database_url"])}
        return given if named & given.keys() or not database_by_parts() else {**given, "database_url": BY_PARTS}

    @field_validator("database_url")
    @classmethod
    def _is_postgres(cls, url: SecretStr) -> SecretStr:
        if url.get_secret_value() == BY_PARTS and database_by_parts():
            return url
        try:
            parts = conninfo_to_dict(url.get_secret_value())
        except psycopg.ProgrammingError:
            parts = {}
        if parts:
            return url
        # libpq's own words would repeat the address.
        raise PydanticCustomError("database_url", "this is no address of a PostgreSQL database")

    @field_validator("redis_url")
    @classmethod
    def _is_redis(cls, url: SecretStr) -> SecretStr:
        try:
            address.parse(url.get_secret_value())
        except ValueError as wrong:
            raise PydanticCustomError("redis_url", "{wrong}", {"wrong": str(wrong)}) from None
        return url


class AccessSettings(ProcessSettings):
    """What a process needs that checks what callers may do: the api at each request, the operator at each fire."""

    authentication: Annotated[tuple[Authority, ...], NoDecode] = Field(
        default=(Authority.LOCAL,),
        min_length=1,
        description="Who vouches for callers: kubernetes, oidc and tokens, separated by commas; local: nobody.",
    )
    access_file: Path | None = Field(
        default=None, description="File with the roles of groups and the hashes of static tokens; see docs/security.md."
    )

    @field_validator("authentication", mode="before")
    @classmethod
    def _split(cls, given: object) -> object:
        return [one.strip() for one in given.split(",")] if isinstance(given, str) else given

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if Authority.LOCAL in self.authentication and len(self.authentication) > 1:
            raise ValueError("ORDINAUT_AUTHENTICATION: local stands alone: leave it out, or leave out the others")
        if Authority.TOKENS in self.authentication and self.access_file is None:
            raise ValueError("ORDINAUT_AUTHENTICATION: tokens needs ORDINAUT_ACCESS_FILE, the file with their hashes")
        if Authority.OIDC in self.authentication and self.access_file is None:
            raise ValueError(
                "ORDINAUT_AUTHENTICATION: oidc needs ORDINAUT_ACCESS_FILE, the file with the roles of groups"
            )
        return self


Settings = TypeVar("Settings", bound=ProcessSettings)


@dataclass(frozen=True, slots=True)
class Given:
    """What was typed for a setting, and the flag that it was typed behind."""

    flag: str
    value: str


Flags = Mapping[str, Given]
"""By setting; they count more than the environment."""

NO_FLAGS: Final[Flags] = {}


def load(settings: type[Settings], *, flags: Flags = NO_FLAGS) -> Settings:
    """Return the settings from flags and environment, or end the process with status 2 and what to mend."""
    typed: dict[str, Any] = {name: given.value for name, given in flags.items()}
    try:
        return settings(**typed)
    except ValidationError as error:
        for mistake in error.errors():
            sys.stderr.write(f"{_explained(settings, mistake, flags=flags)}\n")
        raise SystemExit(2) from None


def _explained(settings: type[ProcessSettings], mistake: ErrorDetails, *, flags: Flags) -> str:
    """Return one line: the variable or the flag, its value, what is wrong and what it should be."""
    message = mistake["msg"].removeprefix("Value error, ")
    if not mistake["loc"]:
        return message
    name = str(mistake["loc"][0])
    field, names = next(
        (field, known)
        for plain, field in settings.model_fields.items()
        if name in {plain, *(known := variables(plain, field))}
    )
    if (given := flags.get(name)) is not None:
        return f"{given.flag}: {shown(given.value)}: {message} ({field.description})"
    variable = next((one for one in names if one in os.environ), names[0])
    return f"{variable}: {_value(field, variable, mistake)}: {message} ({field.description})"


def variables(name: str, field: FieldInfo) -> list[str]:
    """Return the variables that a setting is read from, the first that is set counts."""
    alias = field.validation_alias
    return [str(one) for one in alias.choices] if isinstance(alias, AliasChoices) else [f"ORDINAUT_{name.upper()}"]


def _value(field: FieldInfo, variable: str, mistake: ErrorDetails) -> str:
    if mistake["type"] == "missing":
        return "not set"
    if field.annotation is SecretStr:
        return "(hidden)"
    return shown(os.environ.get(variable, mistake["input"]))
