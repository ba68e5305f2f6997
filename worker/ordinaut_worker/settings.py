"""Settings of the worker."""

import os
import socket
from datetime import timedelta

from pydantic import Field

from ordinaut.settings import ProcessSettings


class WorkerSettings(ProcessSettings):
    """What a worker can be told; see also the settings that all processes share."""

    worker_name: str = Field(
        default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}",
        min_length=1,
        max_length=200,
        description="Name of this worker in leases and logs; in Kubernetes the pod's name.",
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

    @property
    def lease(self) -> timedelta:
        """How long a lease lasts without a heartbeat."""
        return timedelta(seconds=self.lease_seconds)
