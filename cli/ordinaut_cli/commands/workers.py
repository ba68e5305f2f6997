"""``ordinaut workers``: which workers live, and what they hold."""

from ordinaut_cli import asking, render, target, times, views
from ordinaut_cli.options import Api, InContext, Namespace, Output, OutputFormat


def workers(
    namespace: Namespace = None, api: Api = None, context: InContext = None, output: Output = OutputFormat.TABLE
) -> None:
    """List the workers that live, and the runs of the namespace that they hold."""
    chosen = target.choose(api=api, namespace=namespace, context=context)
    items = asking.ask(chosen, lambda client: asking.gathered(client.workers.list()))
    now = times.now()
    render.listed(items, output, none="no worker lives", table=lambda: views.workers(items, now=now))
    if output is OutputFormat.TABLE and any(item["runs"] for item in items):
        console = render.console()
        console.print()
        console.print(views.held_runs(items, now=now))
