"""When a failed step is tried again: the fields that Task, Pipeline steps and Tool share, in Argo's spelling."""

from typing import Literal

from pydantic import Field

from ordinaut.resources.part import Part
from ordinaut.resources.scalars import Duration, PositiveDuration


class Backoff(Part):
    """How long to wait before each retry."""

    duration: Duration = "1s"
    """Wait before the first retry."""
    factor: float = Field(default=2.0, ge=1, le=10)
    """Each further wait is this many times as long as the one before."""
    cap: PositiveDuration = "1m"
    """No wait is longer than this."""
    jitter: Literal["None", "Full"] = "Full"
    """Full: wait a random part of the time, so that steps that failed together do not come back together."""


class RetryStrategy(Part):
    """How often, and after what waits, a step that failed is tried again."""

    limit: int = Field(default=3, ge=0, le=100)
    """Retries after the first try."""
    backoff: Backoff = Field(default=Backoff())
