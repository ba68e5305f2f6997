"""``ordinaut verify``: whether each nominal time is accounted for, with the times computed anew."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final

import typer

from ordinaut_cli import asking, render, target, views
from ordinaut_cli.errors import CANNOT_TELL, FAILED
from ordinaut_cli.options import Api, InContext, Namespace, Output, OutputFormat

_ADDED: Final = ("nominal", "fired", "skipped", "pending", "violated")


def verify(
    task: Annotated[
        str | None, typer.Argument(metavar="TASK", help="All of this task's ledger, not the newest part of each.")
    ] = None,
    namespace: Namespace = None,
    api: Api = None,
    context: InContext = None,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Verify that each nominal time has fired, was skipped or is pending.

    Status 1 if one is not accounted for, 2 if it can't be told.
    """
    found = asking.ask(
        target.choose(api=api, namespace=namespace, context=context),
        lambda client: asking.gathered(client.tasks.verify(task)),
    )
    items = found if task is None else [added(found)]
    totals = {name: sum(item[name] for item in items) for name in _ADDED}
    if output is not OutputFormat.TABLE:
        print(render.dump({"items": items, "totals": totals, "holds": is_kept(items)}, output))
    elif items:
        _show(items, totals)
    else:
        render.console(stderr=True).print("no tasks in this namespace", style="dim")
    if totals["violated"]:
        raise typer.Exit(FAILED)
    if not is_kept(items):
        raise typer.Exit(CANNOT_TELL)


def added(parts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the parts of one ledger, oldest first, as one."""
    first, *others = parts
    whole = {**first, "violations": list(first["violations"])}
    for part in others:
        whole |= {name: whole[name] + part[name] for name in (*_ADDED, "violations")}
        # Schedules may have begun to count anew in between.
        whole |= {name: part[name] for name in ("since", "until", "unknown") if name in part}
    return whole


def is_kept(items: Iterable[Mapping[str, Any]]) -> bool:
    """Whether the law holds, as far as one can tell of everything."""
    return not any(item["violated"] or "unknown" in item for item in items)


def _show(items: list[dict[str, Any]], totals: Mapping[str, int]) -> None:
    render.console().print(views.verification(items, totals=totals if len(items) > 1 else None))
    for item in items:
        lines = [item["unknown"]] if "unknown" in item else [one["detail"] for one in item["violations"]]
        more = item["violated"] - len(item["violations"])
        for line in [*lines, *([f"and {more} more"] if more else [])]:
            print(render.visible(f"{item['task']}: {line}"))
