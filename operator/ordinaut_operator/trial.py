"""
Makes the Secret with the passwords of the chart's trial stores, once: ``python -m ordinaut_operator.trial``.

A template cannot do it: what it draws changes with each rendering, and what it would look up is not there for tools
that render without a cluster. So a Job of the chart runs this inside of the cluster. Whatever Secret is there already
stays as it is, for the database has been set up with its password; the Job may create Secrets, and neither read nor
change one.
"""

import argparse
import asyncio
import secrets
import sys
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from ordinaut_operator.kube import Kube, Refused, Unavailable

_PASSWORD_BYTES = 24


def secret(namespace: str, name: str, *, postgres: str, valkey: str) -> dict[str, Any]:
    """Return a Secret with new passwords, and with the addresses that the processes and KEDA take."""
    # Hexadecimal: nothing that an address would have to escape, or a command line take for an option.
    database, events = (secrets.token_hex(_PASSWORD_BYTES) for _ in range(2))
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app.kubernetes.io/part-of": "ordinaut"}},
        "stringData": {
            "database-password": database,
            "database-uri": f"postgresql://ordinaut:{database}@{postgres}:5432/ordinaut",
            "redis-password": events,
            "redis-uri": f"redis://:{events}@{valkey}:6379/0",
        },
    }


async def create(kube: Kube, wanted: dict[str, Any]) -> bool:
    """Create the Secret; returns whether it was not there yet."""
    try:
        await kube.call("POST", f"/api/v1/namespaces/{wanted['metadata']['namespace']}/secrets", body=wanted)
    except Refused as refusal:
        if refusal.status != HTTPStatus.CONFLICT:
            raise
        return False
    return True


async def _run(wanted: dict[str, Any]) -> bool:
    async with Kube() as kube:
        return await create(kube, wanted)


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the Secret that the arguments name; returns the status to end with."""
    parser = argparse.ArgumentParser(prog="python -m ordinaut_operator.trial", description=__doc__)
    for name, meaning in {
        "namespace": "namespace of the Secret",
        "name": "its name",
        "postgres": "host of PostgreSQL",
        "valkey": "host of Valkey",
    }.items():
        parser.add_argument(name, help=meaning)
    given = parser.parse_args(arguments)
    label = f"Secret {given.namespace}/{given.name}"
    try:
        made = asyncio.run(_run(secret(given.namespace, given.name, postgres=given.postgres, valkey=given.valkey)))
    except (Refused, Unavailable) as error:
        sys.stderr.write(f"{label}: {error}\n")
        return 1
    sys.stderr.write(f"{label}: {'made' if made else 'is there already, and stays as it is'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
