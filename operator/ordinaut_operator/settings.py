"""Settings of the operator."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, FilePath, Json, model_validator
from pydantic_settings import NoDecode

from ordinaut.access.caller import Authority
from ordinaut.settings import AccessSettings


class OperatorSettings(AccessSettings):
    """What an operator can be told; see also the settings that all processes share."""

    source: Literal["kubernetes", "directory"] = Field(
        default="kubernetes", description="Where Tasks, Pipelines, Tools and Hooks come from."
    )
    directory: Path | None = Field(default=None, description="The watched directory, with source=directory.")
    watch_namespaces: Annotated[Json[list[str]], NoDecode] = Field(
        default_factory=list,
        validate_default=False,  # it is no text to be parsed
        description='Namespaces to watch, as JSON (["a", "b"]); empty: all.',
    )
    identity: str | None = Field(
        default=None, description="Name of this replica in the Lease; by default POD_NAME, else made of the host name."
    )
    lease_name: str = Field(
        default="ordinaut-operator",
        min_length=1,
        max_length=253,
        description="Name of the Lease; another one for each installation in a namespace.",
    )
    lease_namespace: str | None = Field(
        default=None, description="Namespace of the Lease; by default the operator's own."
    )
    resync_seconds: float = Field(
        default=300, gt=0, description="Seconds between comparisons of the API server's objects with the database."
    )
    max_deliveries: int = Field(
        default=5, ge=1, le=1000, description="Deliveries of a run whose workers die, before it is parked."
    )
    recovery_seconds: float = Field(
        default=12,
        ge=0,
        description="Seconds after a database outage without taking leases back; longer than a worker's heartbeat.",
    )
    history_days: int = Field(default=30, ge=1, description="Days that runs and steps are kept.")
    audit_days: int = Field(default=365, ge=1, description="Days that the audit trail is kept.")
    event_days: int = Field(default=3, ge=1, description="Days that relayed events are kept.")
    max_hops: int = Field(
        default=8,
        ge=1,
        le=100,
        description="Runs that events may make one behind the other: a task triggered by what another one's run does.",
    )
    events: Literal["on", "off"] = Field(
        default="on", description="Whether there is a Redis or Valkey to tell events to; PostgreSQL keeps them anyway."
    )
    inbox: Literal["on", "off"] = Field(
        default="on", description="Whether events that others write to the Redis stream ordinaut:inbox are published."
    )
    redis_ca_file: FilePath | None = Field(
        default=None, description="Certificates (PEM) of those who vouch for the server of a rediss:// address."
    )
    stream_max_length: int = Field(
        default=100_000,
        ge=1000,
        description="Events kept in the Redis stream, about 1 KiB each; PostgreSQL keeps more.",
    )

    @model_validator(mode="after")
    def _authority_for_encrypted(self) -> Self:
        scheme = self.redis_url.get_secret_value().partition(":")[0]
        if self.events == "on" and self.redis_ca_file is not None and not scheme.startswith("rediss"):
            raise ValueError(
                "ORDINAUT_REDIS_CA_FILE needs an ORDINAUT_REDIS_URL that begins with rediss://: by this one, nothing is"
                " encrypted"
            )
        return self

    @model_validator(mode="after")
    def _directory_for_its_source(self) -> Self:
        if self.source == "directory" and self.directory is None:
            raise ValueError("ORDINAUT_SOURCE=directory needs ORDINAUT_DIRECTORY, the folder with the manifests")
        if self.source == "directory" and Authority.KUBERNETES in self.authentication:
            raise ValueError(
                "ORDINAUT_AUTHENTICATION: kubernetes needs ORDINAUT_SOURCE=kubernetes: without an API server, nobody"
                " says what its callers may do"
            )
        return self
