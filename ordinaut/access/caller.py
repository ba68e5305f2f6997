"""
Identities: who a request comes from, and for whom a task made by REST acts.

The api makes a :class:`Caller` from a token; the store keeps it as JSON beside the tasks that the caller has made; the
operator reads it back when such a task is due.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self


class Authority(StrEnum):
    """Who vouches for an identity."""

    KUBERNETES = "kubernetes"
    """The API server, by TokenReview."""
    OIDC = "oidc"
    """An OpenID Connect issuer, by a signed token."""
    TOKENS = "tokens"
    """The access file, by the hash of a static token."""
    LOCAL = "local"
    """Nobody else: on the loopback interface whoever reaches the api may do everything, and Ordinaut itself acts."""


@dataclass(frozen=True, slots=True)
class Caller:
    """
    An identity as its authority knows it.

    ``extra`` is what Kubernetes passes on between its authenticators and authorizers; it is part of every review.
    """

    authority: Authority
    user: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @property
    def id(self) -> str:
        """What names the caller in the audit trail, and among the callers of all authorities."""
        return f"{self.authority}:{self.user}"

    def as_json(self) -> dict[str, Any]:
        """Return the form that the store keeps."""
        full = {
            "authority": self.authority.value,
            "user": self.user,
            "groups": list(self.groups),
            "uid": self.uid,
            "extra": {key: list(values) for key, values in self.extra},
        }
        return {key: value for key, value in full.items() if value}

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Self:
        """Return the caller that :meth:`as_json` wrote."""
        return cls(
            authority=Authority(kept["authority"]),
            user=kept["user"],
            groups=tuple(kept.get("groups", ())),
            uid=kept.get("uid", ""),
            extra=tuple((key, tuple(values)) for key, values in kept.get("extra", {}).items()),
        )


LOCAL: Caller = Caller(Authority.LOCAL, "local")
"""Somebody on this machine, where there are no identities."""
