"""``ordinaut status``: the health of the installations in a cluster, from a kubeconfig alone."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import typer

import ordinaut
from ordinaut_cli import render
from ordinaut_cli.errors import CANNOT_TELL, CommandError
from ordinaut_cli.options import ClusterNamespace, KubeConfig, KubectlContext, Output, OutputFormat

if TYPE_CHECKING:
    from ordinaut_cli.cluster.apiserver import ApiServer
    from ordinaut_cli.cluster.health import Health
    from ordinaut_cli.cluster.installation import Found


def status(
    namespace: ClusterNamespace = None,
    context: KubectlContext = None,
    kubeconfig: KubeConfig = None,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Show the health of the whole installation.

    Needs a kubeconfig only, and tells what your rights do not let you see. Status 0: healthy; 1: something does not
    work; 2: it could not be told.
    """
    from ordinaut_cli.cluster import health, installation  # noqa: PLC0415 - slow to load

    async def work(api: "ApiServer", found: "list[Found]") -> "list[Health]":
        facts = await asyncio.gather(*(installation.gather(api, one) for one in found))
        return [health.judge(one, plugin=ordinaut.__version__, context=context) for one in facts]

    seen = in_cluster(work, namespace=namespace, context=context, kubeconfig=kubeconfig)
    if output is OutputFormat.TABLE:
        from ordinaut_cli.cluster.health import page  # noqa: PLC0415 - as above

        for place, one in enumerate(seen):
            if place:
                print()
            page.show(one, console=render.console())
    else:
        print(render.dump({"items": [one.as_data() for one in seen]}, output))
    raise typer.Exit(max(health.EXIT_STATUS[one.verdict] for one in seen))


def in_cluster(
    work: Callable[["ApiServer", "list[Found]"], Awaitable[Any]],
    *,
    namespace: str | None,
    context: str | None,
    kubeconfig: str | None,
) -> Any:
    """Return what ``work`` finds out about the installations of a cluster; ends the command with 2 if none is seen."""
    from ordinaut_cli.cluster import apiserver, installation, kubectl  # noqa: PLC0415 - as above

    access = kubectl.Access(context, kubeconfig)

    def at_home() -> str:
        return kubectl.current_namespace(access) or "default"

    async def run() -> Any:
        async with apiserver.reached(access) as api:
            return await work(api, await installation.find(api, namespace=namespace, at_home=at_home))

    try:
        return asyncio.run(run())
    except kubectl.KubectlError as error:
        raise CommandError(*error.lines, exit_code=CANNOT_TELL) from None
