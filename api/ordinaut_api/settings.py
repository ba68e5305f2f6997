"""
Settings of the api, from the environment.

Without identities (``ORDINAUT_AUTHENTICATION=local``) whoever reaches the port may do everything. The api then listens
on the loopback interface only, and a host that others could reach is refused.
"""

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Final, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import NoDecode

from ordinaut.access.caller import Authority
from ordinaut.settings import AccessSettings

_ORIGIN: Final = re.compile(r"https?://[a-z0-9.-]+(:\d{1,5})?|https?://\[[0-9a-f:]+\](:\d{1,5})?")


class ApiSettings(AccessSettings):
    """What the api needs besides what every process needs."""

    api_host: str = Field(
        default="127.0.0.1", description="Address to listen on; any but 127.0.0.1 and ::1 needs identities."
    )
    api_port: int = Field(default=8080, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    api_pool_size: int = Field(
        default=8, ge=1, le=100, description="Connections to PostgreSQL at most; a request holds one for milliseconds."
    )
    api_max_tasks: int = Field(
        default=10_000, ge=0, description="Tasks made through the API in a namespace at most; resources do not count."
    )
    api_max_pipelines: int = Field(
        default=1000, ge=0, description="Pipelines made through the API in a namespace at most, as for tasks."
    )
    api_max_tools: int = Field(
        default=1000, ge=0, description="Tools made through the API in a namespace at most, as for tasks."
    )
    api_max_hooks: int = Field(
        default=100, ge=0, description="Hooks made through the API in a namespace at most, as for tasks."
    )
    secrets_dir: Path | None = Field(
        default=None,
        description="Folder of the Secrets that hooks name, as NAMESPACE/NAME/KEY; unset: the API server is asked.",
    )
    api_max_streams: int = Field(
        default=20, ge=1, le=10_000, description="Streams that one caller has open at a time, in this process."
    )

    kubernetes_audience: str = Field(
        default="ordinaut", min_length=1, description="Audience that tokens of Kubernetes must be made for."
    )
    oidc_issuer: str | None = Field(
        default=None, description="Address of the OpenID Connect issuer, exactly as in `iss`; https."
    )
    oidc_audience: str | None = Field(
        default=None, min_length=1, description="Audience (`aud`) of its tokens: the client id that is ours."
    )
    oidc_username_claim: str = Field(
        default="sub", min_length=1, description="Claim that names the caller; it must never be given to somebody else."
    )
    oidc_groups_claim: str = Field(
        default="groups", min_length=1, description="Claim with the caller's groups, a list of texts."
    )

    rate_limit: int = Field(
        default=600,
        ge=0,
        le=1_000_000,
        description="Requests a minute of a caller in a namespace, in this process; ten times as many in all. 0: any.",
    )
    rate_limit_failures: int = Field(
        default=120,
        ge=0,
        le=1_000_000,
        description="Requests a minute from one address whose token is not good, in this process. 0: any.",
    )
    forwarded_allow_ips: str | None = Field(
        default=None,
        description="Proxies whose X-Forwarded-For and -Proto count, as 10.0.0.0/8,fd00::1; by default none.",
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Sites whose pages may call the API from browsers, as https://console.example."
    )

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _split_origins(cls, given: object) -> object:
        return [one.strip() for one in given.split(",") if one.strip()] if isinstance(given, str) else given

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            if not _ORIGIN.fullmatch(origin):
                raise PydanticCustomError("origin", "write each as https://host or https://host:port, with commas")
        return origins

    @field_validator("forwarded_allow_ips")
    @classmethod
    def _are_addresses(cls, given: str | None) -> str | None:
        for one in (given or "").split(","):
            if not one.strip():
                continue
            try:
                ipaddress.ip_network(one.strip(), strict=False)
            except ValueError:
                raise PydanticCustomError("addresses", "write IP addresses or networks, with commas") from None
        return given or None

    @field_validator("oidc_issuer")
    @classmethod
    def _is_issuer(cls, issuer: str | None) -> str | None:
        if issuer is None or is_trustworthy(issuer):
            return issuer
        raise PydanticCustomError("issuer", "write an https address; http is for a loopback address only")

    @model_validator(mode="after")
    def _local_on_loopback_only(self) -> Self:
        if Authority.LOCAL not in self.authentication:
            return self
        if not is_loopback(self.api_host):
            raise ValueError(
                f'ORDINAUT_API_HOST: "{self.api_host[:80]}": without identities the api listens on the loopback '
                "interface only: write 127.0.0.1 or ::1, or name who vouches for callers in ORDINAUT_AUTHENTICATION"
            )
        if self.cors_origins:
            raise ValueError(
                "ORDINAUT_CORS_ORIGINS: without identities no other site may use the API: leave it out, or name who "
                "vouches for callers in ORDINAUT_AUTHENTICATION"
            )
        return self

    @model_validator(mode="after")
    def _oidc_complete(self) -> Self:
        if Authority.OIDC in self.authentication and not (self.oidc_issuer and self.oidc_audience):
            raise ValueError("ORDINAUT_AUTHENTICATION: oidc needs ORDINAUT_OIDC_ISSUER and ORDINAUT_OIDC_AUDIENCE")
        return self


def is_loopback(host: str) -> bool:
    """Whether ``host`` names this machine to itself only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_trustworthy(url: str) -> bool:
    """Whether what stands at an address can't have been put there by somebody on the way."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    plain = not (parts.query or parts.fragment or parts.username or parts.password)
    return bool(host) and plain and (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host)))
