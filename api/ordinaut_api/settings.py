"""
Settings of the api, from the environment.

This release knows no identities yet, so whoever reaches the port may do everything. It therefore listens on the
loopback interface only, and a host that others could reach is refused.
"""

import ipaddress

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from ordinaut.settings import ProcessSettings


class ApiSettings(ProcessSettings):
    """What the api needs besides what every process needs."""

    api_host: str = Field(
        default="127.0.0.1",
        description="Address to listen on; write 127.0.0.1 or ::1 and reach it from elsewhere through a tunnel.",
    )
    api_port: int = Field(default=8080, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    api_pool_size: int = Field(
        default=8, ge=1, le=100, description="Connections to PostgreSQL at most; a request holds one for milliseconds."
    )

    @field_validator("api_host")
    @classmethod
    def _only_loopback(cls, host: str) -> str:
        if is_loopback(host):
            return host
        raise PydanticCustomError(
            "loopback_only",
            "without identities, which come with a later release, the api listens on the loopback interface only",
        )


def is_loopback(host: str) -> bool:
    """Whether ``host`` names this machine to itself only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
