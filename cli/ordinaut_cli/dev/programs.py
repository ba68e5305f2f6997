"""
Which processes ``ordinaut dev`` runs, and what each is told by its environment: the same as in the chart's
Deployments.
"""

from dataclasses import dataclass
from pathlib import Path

from ordinaut.settings import BY_PARTS
from ordinaut_cli.dev.folder import DataFolder
from ordinaut_cli.dev.processes import Program, free_port


@dataclass(frozen=True, slots=True)
class Urls:
    """Where the servers are."""

    database: str
    redis: str


def programs(*, urls: Urls, data: DataFolder, directory: Path, api_port: int, workers: int) -> list[Program]:
    """Return the operator, ``workers`` workers and the api, in the order of their start."""

    def program(name: str, module: str, **environment: str) -> Program:
        probe_port = free_port()
        return Program(
            name=name,
            module=module,
            environment=_common(urls) | {"ORDINAUT_PROBE_PORT": str(probe_port)} | environment,
            log=data.log(name),
            probe_port=probe_port,
        )

    return [
        program("operator", "ordinaut_operator", ORDINAUT_SOURCE="directory", ORDINAUT_DIRECTORY=str(directory)),
        *(
            program(
                f"worker-{number}",
                "ordinaut_worker",
                ORDINAUT_WORKER_NAME=f"worker-{number}",
                ORDINAUT_WORKER_QUEUES="*",
            )
            for number in range(1, workers + 1)
        ),
        program("api", "ordinaut_api", ORDINAUT_API_HOST="127.0.0.1", ORDINAUT_API_PORT=str(api_port)),
    ]


def _common(urls: Urls) -> dict[str, str]:
    # Without an address, the processes read libpq's variables as this one does.
    return ({} if urls.database == BY_PARTS else {"ORDINAUT_DATABASE_URL": urls.database}) | {
        "ORDINAUT_REDIS_URL": urls.redis,
        "ORDINAUT_PROBE_HOST": "127.0.0.1",
        "ORDINAUT_LOG_FORMAT": "console",
        "PYTHONUNBUFFERED": "1",
    }
