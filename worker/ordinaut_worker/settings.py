"""Settings of the worker."""

import os
import re
import socket
from datetime import timedelta
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import NoDecode

from ordinaut.errors import shown
from ordinaut.resources.scalars import LABEL_PATTERN, MAX_LABEL
from ordinaut.settings import ProcessSettings
from ordinaut.store.queues import DEFAULT, EVERY


class WorkerSettings(ProcessSettings):
    """What a worker can be told; see also the settings that all processes share."""

    worker_name: str = Field(
        default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}",
        min_length=1,
        max_length=200,
        description="Name of this worker in leases and logs; in Kubernetes the pod's name.",
    )
    worker_queues: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(DEFAULT,),
        min_length=1,
        description="Queues to take runs from: names with commas between, or * for all, also those that come later.",
    )
    worker_slots: int = Field(default=16, ge=1, le=1000, description="Runs held at once; each is an asyncio task.")
    lease_seconds: float = Field(
        default=30, ge=1, le=3600, description="Seconds until the work of a silent worker is given to another."
    )
    grace_seconds: float = Field(
        default=25, ge=0, description="Seconds after SIGTERM to finish runs; the pod's grace period must be longer."
    )
    poll_seconds: float = Field(
        default=1, gt=0, le=60, description="Seconds between looks at the queue where no notification came."
    )
    step_timeout_seconds: float = Field(
        default=300, gt=0, description="Seconds that a step may take where neither it nor its tool says so."
    )
    max_output_bytes: int = Field(
        default=1 << 20, ge=1024, description="Largest output of a step, as JSON; 1 MiB keeps history rows small."
    )

    @field_validator("worker_queues", mode="before")
    @classmethod
    def _split(cls, given: object) -> object:
        return [one.strip() for one in given.split(",")] if isinstance(given, str) else given

    @field_validator("worker_queues")
    @classmethod
    def _are_queues(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        if EVERY in given and len(given) > 1:
            raise PydanticCustomError("worker_queues", "* stands alone: leave it out, or leave out the others")
        for name in given:
            if name != EVERY and (len(name) > MAX_LABEL or not re.fullmatch(LABEL_PATTERN, name)):
                message = "{name} is no name of a queue, which is at most 63 lower case letters, digits and -"
                raise PydanticCustomError("worker_queues", message, {"name": shown(name)})
        return tuple(dict.fromkeys(given))

    @property
    def lease(self) -> timedelta:
        """How long a lease lasts without a heartbeat."""
        return timedelta(seconds=self.lease_seconds)
