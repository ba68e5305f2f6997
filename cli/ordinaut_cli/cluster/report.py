"""
Gathers a support bundle: what ``status`` knows, the objects behind it, events, metrics and logs, without secrets.

``commands.report`` calls :func:`make`. Whatever may not be read is left out and stands in ``skipped.txt``; Secrets are
never asked for. Everything passes :mod:`~ordinaut_cli.cluster.redaction`, unless the caller has switched that off.
"""

import asyncio
import dataclasses
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import yaml
from rich.console import Console

from ordinaut_cli import render
from ordinaut_cli.cluster import health, installation, redaction
from ordinaut_cli.cluster.apiserver import ApiServer, NotThere, Object, Unseen
from ordinaut_cli.cluster.bundle import Bundle
from ordinaut_cli.cluster.facts import (
    COMPONENTS,
    INSTANCE_LABEL,
    NAME,
    Facts,
    Missed,
    component_of,
    name_of,
    process_of,
    watched,
)
from ordinaut_cli.cluster.health import page
from ordinaut_cli.cluster.installation import Found

MAX_LINES: Final = 20_000
"""Lines of one log, the newest."""

MAX_LOG: Final = 20 * 2**20
"""Bytes of these lines, should they be very long."""

MAX_RESOURCES: Final = 500
"""Tasks, Pipelines, Tools and Hooks, of each kind."""

MAX_EVENTS: Final = 500
_LOG_WITHIN: Final = 30.0
_AT_ONCE: Final = 8

_IN_NAMESPACE: Final = {
    "services": "/api/v1",
    "serviceaccounts": "/api/v1",
    "configmaps": "/api/v1",
    "replicasets": "/apis/apps/v1",
    "statefulsets": "/apis/apps/v1",
    "roles": "/apis/rbac.authorization.k8s.io/v1",
    "rolebindings": "/apis/rbac.authorization.k8s.io/v1",
    "poddisruptionbudgets": "/apis/policy/v1",
    "networkpolicies": "/apis/networking.k8s.io/v1",
    "ingresses": "/apis/networking.k8s.io/v1",
    "httproutes": "/apis/gateway.networking.k8s.io/v1",
}
_IN_CLUSTER: Final = {
    "clusterroles": "/apis/rbac.authorization.k8s.io/v1",
    "clusterrolebindings": "/apis/rbac.authorization.k8s.io/v1",
}
_RESOURCES: Final = ("tasks", "pipelines", "tools", "hooks")


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be in a bundle."""

    plugin: str
    """The version of this program."""
    logs: bool = False
    since: float | None = None
    """Seconds that logs go back; None is all that is there."""
    namespace_only: bool = False
    redact: bool = True


class _Sheet:
    """The bundle as it is written: everything that goes in is redacted, everything that is missing is noted."""

    def __init__(self, folder: str, *, redact: bool) -> None:
        self.bundle = Bundle(folder)
        self.skipped: list[Missed] = []
        self._redact = redact

    def text(self, path: str, text: str, *, how: Callable[[str], str] = redaction.text) -> None:
        """Add a text."""
        self.bundle.add(path, how(text) if self._redact else text)

    def data(self, path: str, data: Any) -> None:
        """Add data that was redacted before."""
        self.bundle.add(path, yaml.safe_dump(data, sort_keys=True, allow_unicode=True, width=120))

    def objects(self, folder: str, kind: str, items: Iterable[Object]) -> None:
        """Add objects of a kind, one file each."""
        listed = [dict(item) for item in items]
        for item in redaction.all_of(kind, listed) if self._redact else listed:
            self.data(f"{folder}/{kind}/{name_of(item)}.yaml", item)

    def all(self, path: str, kind: str, items: Iterable[Object]) -> None:
        """Add objects of a kind in one file."""
        listed = [dict(item) for item in items]
        self.data(path, {"items": redaction.all_of(kind, listed) if self._redact else listed})


async def make(api: ApiServer, found: Found, wish: Wish, *, folder: str) -> tuple[Bundle, Sequence[Missed]]:
    """Return the bundle of an installation, and what could not be seen for it."""
    facts, more, server = await asyncio.gather(installation.gather(api, found), _more(api, found, wish), _version(api))
    sheet = _Sheet(folder, redact=wish.redact)
    others, sheet.skipped = more
    sheet.skipped += facts.unseen
    _summary(sheet, facts, wish, server=server)
    _objects(sheet, facts, others)
    for pod, heard in facts.heard.items():
        if heard.text:
            sheet.text(f"metrics/{pod}.prom", heard.text)
    if wish.logs:
        await _logs(api, sheet, facts, wish)
    sheet.text("skipped.txt", "".join(f"{one.what}: {one.why}\n" for one in sorted(sheet.skipped)) or "nothing\n")
    return sheet.bundle, sheet.skipped


async def _version(api: ApiServer) -> Any:
    try:
        return await api.get("/version")
    except Unseen as error:
        return {"unknown": str(error)}


async def _more(api: ApiServer, found: Found, wish: Wish) -> tuple[dict[str, list[Any]], list[Missed]]:
    """Return objects that only a bundle needs, by kind."""
    wanted = await _wanted(api, found, wish)
    more: dict[str, list[Any]] = {kind: [] for kind, _, _ in wanted}
    missed: list[Missed] = []

    async def ask(kind: str, path: str, query: Mapping[str, str]) -> None:
        try:
            more[kind] += await api.items(path, **query)
        except NotThere:
            pass
        except Unseen as error:
            missed.append(Missed(kind, str(error)))

    await asyncio.gather(*(ask(*one) for one in wanted))
    return more, missed


async def _wanted(api: ApiServer, found: Found, wish: Wish) -> list[tuple[str, str, dict[str, str]]]:
    """Return which lists to ask for: kind, path and query."""
    space, operator = found.namespace, next((one for one in found.deployments if component_of(one) == "operator"), None)
    ours = {"labelSelector": NAME + (f",{INSTANCE_LABEL}={found.instance}" if found.instance else "")}
    wanted = [
        (kind, f"{base}/namespaces/{space}/{kind}", ours) for kind, base in (await api.served(_IN_NAMESPACE)).items()
    ]
    wanted.append(("events", f"/api/v1/namespaces/{space}/events", {"limit": str(MAX_EVENTS)}))
    if not wish.namespace_only:
        wanted += [(kind, f"{base}/{kind}", ours) for kind, base in _IN_CLUSTER.items()]
        limit = {"limit": str(MAX_RESOURCES)}
        wanted += [
            (kind, path, limit) for kind in _RESOURCES for path in installation.resource_paths(kind, watched(operator))
        ]
    return wanted


def _summary(sheet: _Sheet, facts: Facts, wish: Wish, *, server: Any) -> None:
    """Add what ``status`` says, for people and for programs."""
    if wish.redact:
        troubles = [dataclasses.replace(one, message=redaction.message(one.message)) for one in facts.troubles]
        facts = dataclasses.replace(facts, troubles=troubles)
    judged = health.judge(facts, plugin=wish.plugin)
    paper = io.StringIO()
    page.show(judged, console=Console(file=paper, width=render.WIDE, highlight=False, soft_wrap=True))
    sheet.text("summary.txt", "".join(f"{line.rstrip()}\n" for line in paper.getvalue().splitlines()))
    sheet.text("status.yaml", yaml.safe_dump(judged.as_data(), sort_keys=True, allow_unicode=True, width=120))
    sheet.data("versions.yaml", {**judged.versions.as_data(), "kubernetes": server})


def _objects(sheet: _Sheet, facts: Facts, others: Mapping[str, Sequence[Object]]) -> None:
    sheet.objects("manifests", "deployments", facts.deployments)
    for kind, items in [*facts.others.items(), *others.items()]:
        if kind == "events":
            sheet.all("events.yaml", kind, items)
        elif kind in _RESOURCES:
            sheet.all(f"resources/{kind}.yaml", kind, items)
        elif kind == "customresourcedefinitions":
            known = [{"metadata": {"name": name_of(one)}, "status": one.get("status")} for one in items]
            sheet.objects("manifests", kind, known)
        else:
            sheet.objects("manifests", kind, items)


async def _logs(api: ApiServer, sheet: _Sheet, facts: Facts, wish: Wish) -> None:
    """Add the logs of all containers, and those from before their latest restart."""
    room = asyncio.Semaphore(_AT_ONCE)
    query = {"tailLines": str(MAX_LINES), "limitBytes": str(MAX_LOG)}
    if wish.since:
        query["sinceSeconds"] = str(round(wish.since))

    async def ask(pod: Object, container: str, *, previous: bool) -> tuple[str, str | Unseen]:
        suffix = "-previous" if previous else ""
        path = f"/api/v1/namespaces/{facts.namespace}/pods/{name_of(pod)}/log"
        asked = {**query, "container": container, **({"previous": "true"} if previous else {})}
        try:
            async with room:
                text: str | Unseen = await api.text(path, within=_LOG_WITHIN, **asked)
        except Unseen as error:
            text = error
        return f"logs/{name_of(pod)}/{container}{suffix}.jsonl", text

    wanted = [
        ask(pod, status["name"], previous=previous)
        for pod in facts.others.get("pods", ())
        if process_of(pod) in {*COMPONENTS, "migrate"}
        for status in (pod.get("status") or {}).get("containerStatuses") or ()
        for previous in ((False, True) if status.get("restartCount") else (False,))
    ]
    for path, text in await asyncio.gather(*wanted):
        if isinstance(text, Unseen):
            sheet.skipped.append(Missed(path, str(text)))
        else:
            sheet.text(path, text, how=redaction.log)
