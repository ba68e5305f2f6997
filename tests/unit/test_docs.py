"""What the pages say is held against the program: manifests, times, metrics, settings, commands, paths and events."""

import itertools
import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any, cast

import click
import pytest
import typer
import yaml
from prometheus_client import Counter
from prometheus_client.metrics import MetricWrapperBase
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from ordinaut import metrics, schedule
from ordinaut.access import grants
from ordinaut.access.rights import ROLES, Right, Role
from ordinaut.causes import Cause
from ordinaut.declaration.examine import check
from ordinaut.errors import Invalid
from ordinaut.events.envelope import expand
from ordinaut.settings import ProcessSettings
from ordinaut.states import ENDED_RUN_PHASES, FINAL_STEP_PHASES, RunPhase, SkipReason, StepPhase
from ordinaut_api import problems
from ordinaut_api.app import create_app
from ordinaut_api.settings import ApiSettings
from ordinaut_cli.app import app as command_line
from ordinaut_cli.target import VARIABLES
from ordinaut_operator.settings import OperatorSettings
from ordinaut_worker.settings import WorkerSettings

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm" / "ordinaut"
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *(CHART / name for name in ("README.md", "UPGRADING.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]

PROMISE = (
    "each nominal time is enqueued exactly once or recorded as skipped with its reason; each step runs at least once; "
    "each step result is committed exactly once; each run ends in exactly one final phase."
)


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(path: Path, language: str) -> Iterator[str]:
    """Yield the code blocks of a page."""
    yield from re.findall(
        rf"^```{language}\n(.*?)^```$", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )


def rows(name: str) -> list[list[str]]:
    """Return the cells of all tables of a page, without headings."""
    lines = [line for line in page(name).splitlines() if line.startswith("|")]
    return [[cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def first_code(cell: str) -> str:
    """Return what stands in the first backticks of a cell."""
    found = re.match(r"`([^`]+)`", cell)
    return found[1] if found else ""


def documents() -> Iterator[Any]:
    """Yield each YAML document of all pages but the chart's, whose are values, with its page."""
    for path in PAGES:
        if CHART in path.parents:
            continue
        found = [document for block in blocks(path, "yaml") for document in yaml.safe_load_all(block)]
        name = path.relative_to(ROOT).with_suffix("")
        for number, document in enumerate(found):
            yield pytest.param(document, id=f"{name}-{number}-{document.get('kind', 'part')}")


# ---------------------------------------------------------------- pages


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files_and_headings_that_exist(path: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", path.read_text(encoding="utf-8")):
        name, _, anchor = target.partition("#")
        linked = path.parent / name if name else path
        assert linked.exists(), target
        if anchor:
            assert anchor in headings(linked), target


def headings(path: Path) -> set[str]:
    """Return the anchors of a page, as they are made from its headings."""
    titles = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_page_is_linked_from_the_readme() -> None:
    unlinked = [path.name for path in (ROOT / "docs").glob("*.md") if f"(docs/{path.name})" not in page("README.md")]
    assert unlinked == []


@pytest.mark.parametrize("name", ["README.md", "docs/architecture.md"])
def test_promise_stands_word_for_word(name: str) -> None:
    assert PROMISE in " ".join(page(name).split())


# ---------------------------------------------------------------- manifests


@pytest.mark.parametrize("document", list(documents()))
def test_manifests_are_accepted(document: dict[str, Any]) -> None:
    if str(document.get("apiVersion", "")).startswith("ordinaut.io"):
        check(document)
    elif "tokens" in document:
        grants.parse(yaml.safe_dump(document), source="access.yaml")
    elif "apiVersion" not in document:  # part of a Task's spec
        spec = {"pipelineRef": {"name": "example"}, **document}
        check({"apiVersion": "ordinaut.io/v1alpha1", "kind": "Task", "metadata": {"name": "example"}, "spec": spec})
    else:
        assert document["kind"] in FOREIGN


RBAC = {"ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}
FOREIGN = RBAC | {"Job", "Deployment", "Pod", "Service", "Ingress", "HTTPRoute"}


# ---------------------------------------------------------------- times


def times() -> Iterator[Any]:
    for expression, gap, after, following in (row for row in rows("docs/schedules.md") if len(row) == 4):
        if re.match(r"\d{4}-", after):
            yield pytest.param(
                first_code(expression), gap, after, following.split(", "), id=f"{first_code(expression)} {gap} {after}"
            )


@pytest.mark.parametrize(("expression", "gap", "after", "following"), list(times()))
def test_nominal_times_are_those_of_the_page(expression: str, gap: str, after: str, following: list[str]) -> None:
    cron = schedule.parse_cron(expression, time_zone="Europe/Berlin", gap=schedule.Gap(gap))
    found = schedule.next_fires(cron, after=datetime.fromisoformat(after), limit=len(following))
    assert [time.strftime("%Y-%m-%dT%H:%M:%SZ") for time in found] == following


# ---------------------------------------------------------------- metrics, settings


def declared_metrics() -> dict[str, tuple[str, str]]:
    """Return type and labels of each metric, by the name under which Prometheus finds it."""
    found = (value for value in vars(metrics).values() if isinstance(value, MetricWrapperBase))
    return {
        f"{one._name}_total" if isinstance(one, Counter) else one._name: (
            str(one._type),
            ", ".join(f"`{label}`" for label in one._labelnames),
        )
        for one in found
    }


def test_every_metric_is_explained() -> None:
    explained = {first_code(row[0]): (row[1], row[2]) for row in rows("docs/metrics.md") if len(row) == 5}
    assert {name: row for name, row in explained.items() if name} == declared_metrics()


def settings() -> Iterator[Any]:
    for group in (ProcessSettings, OperatorSettings, WorkerSettings, ApiSettings):
        for name, field in group.model_fields.items():
            yield pytest.param(name, field, id=f"{group.__name__}-{name}")


@pytest.mark.parametrize(("name", "field"), list(settings()))
def test_every_setting_is_explained_with_its_default(name: str, field: FieldInfo) -> None:
    explained = {first_code(row[0]): row[1] for row in rows("docs/configuration.md")}
    assert explained[f"ORDINAUT_{name.upper()}"] == shown_default(name, field)


def shown_default(name: str, field: FieldInfo) -> str:
    """Return a default as the page writes it."""
    if field.is_required():
        return "required"
    if name == "worker_name":
        return "host name and process id"
    default = field.get_default(call_default_factory=True, validated_data={})
    if isinstance(default, tuple):
        default = ",".join(default)
    if default is None or default == "":
        return "–"
    return f"`{default.get_secret_value() if isinstance(default, SecretStr) else default}`"


def test_no_setting_is_explained_that_does_not_exist() -> None:
    known = {f"ORDINAUT_{param.values[0].upper()}" for param in settings()}
    known |= VARIABLES | {"ORDINAUT_DEBUG"}
    explained = {first_code(row[0]) for row in rows("docs/configuration.md")} - {""}
    standard = {name for name in explained if name.startswith(("PG", "OTEL_"))}  # libpq's and OpenTelemetry's own
    assert explained - standard == known


# ---------------------------------------------------------------- roles


def test_roles_are_those_of_the_page() -> None:
    explained: dict[Role, set[Right]] = {role: set() for role in Role}
    for verbs, resources, *held in (row for row in rows("docs/security.md") if len(row) == 6):
        pairs = itertools.product(*(re.findall(r"`(\S+)`", cell) for cell in (verbs, resources)))
        named = [Right(verb, resource) for verb, resource in pairs]
        for role, cell in zip(Role, held, strict=True):
            explained[role].update(named if cell == "yes" else ())
    assert explained == {role: set(rights) for role, rights in ROLES.items()}


# ---------------------------------------------------------------- command line, API


def commands() -> dict[str, click.Command]:
    """Return all commands by their names, those of groups as ``group command``."""
    return dict(leaves(cast(click.Group, typer.main.get_command(command_line))))


def leaves(group: click.Group, prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from leaves(cast(click.Group, command), f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_command_is_explained(name: str) -> None:
    explained = [first_code(row[0]) for row in rows("docs/cli.md")]
    assert any(f"{text} ".startswith(f"ordinaut {name} ") for text in explained)


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_option_is_explained(name: str) -> None:
    text = page("docs/cli.md")
    options = [option for param in commands()[name].params for option in param.opts if option.startswith("-")]
    assert [option for option in options if f"`{option}" not in text] == []


def test_defaults_of_options_are_those_of_the_page() -> None:
    shared = {row[0]: row[1] for row in rows("docs/cli.md") if row[0].startswith("`-")}
    for command in commands().values():
        for param in command.params:
            cell = ", ".join(f"`{option}`" for option in reversed(param.opts))
            if cell in shared and shared[cell] != "–":
                default = param.default.value if isinstance(param.default, Enum) else param.default
                assert shared[cell] == f"`{default}`", param.name


def test_every_path_of_the_api_is_explained() -> None:
    app = create_app(ApiSettings(database_url=SecretStr("postgresql://nobody@127.0.0.1/none")))
    served = {(method.upper(), path) for path, methods in app.openapi()["paths"].items() for method in methods}
    explained = {
        (method, path)
        for row in rows("docs/api.md")
        for method in row[0].split(", ")
        for path in re.findall(r"`(/[^`]+)`", row[1])
        if method in {"GET", "PUT", "POST", "PATCH", "DELETE"}
    }
    assert explained == served


def test_every_type_of_problem_is_explained() -> None:
    explained = {(first_code(row[0]), row[1]) for row in rows("docs/api.md") if "urn:" in row[0]}
    assert explained == {(f"{problems.TYPE_PREFIX}{slug}", str(status)) for slug, status in problems.SLUGS.items()}


def test_the_problem_of_the_page_is_what_a_caller_gets() -> None:
    shown = next(one for block in blocks(ROOT / "docs" / "api.md", "json") if "errors" in (one := json.loads(block)))
    spec = {"pipeline": {"steps": [{"id": "only", "uses": "std.log"}]}, "prioritty": 7}
    document = {"apiVersion": "ordinaut.io/v1alpha1", "kind": "Task", "metadata": {"name": "example"}, "spec": spec}

    with pytest.raises(Invalid) as caught:
        check(document)
    answer = problems.invalid(caught.value.errors).response(instance=shown["instance"], request_id=shown["requestId"])

    assert json.loads(bytes(answer.body)) == shown


# ---------------------------------------------------------------- events, reasons


SOURCES = [
    path for folder in ("ordinaut", "operator", "worker", "api") for path in sorted((ROOT / folder).rglob("*.py"))
]


def found_in_sources(pattern: str) -> set[str]:
    """Return what a pattern's group finds in the program's text."""
    return {match for path in SOURCES for match in re.findall(pattern, path.read_text(encoding="utf-8"))}


def test_every_type_of_event_is_explained() -> None:
    # The worker makes types of phases; what it never tells of is left out by hand.
    told = found_in_sources(r'Event\(\s*"((?:task|run|step)\.\w+)"') | {"task.applied", "task.deleted"}
    told |= {f"run.{phase.lower()}" for phase in ENDED_RUN_PHASES | {RunPhase.WAITING}}
    told |= {f"step.{phase.lower()}" for phase in (FINAL_STEP_PHASES | {StepPhase.WAITING}) - SILENT}

    explained = {first_code(row[0]) for row in rows("docs/events.md")}

    assert {name for name in explained if "." in name} == told


SILENT = {StepPhase.CANCELLED, StepPhase.UNKNOWN}


def test_the_event_of_the_page_is_what_the_relay_sends() -> None:
    shown = json.loads(next(blocks(ROOT / "docs" / "events.md", "json")))
    data = shown["data"]
    compact = {
        "type": "step.succeeded",
        "ns": data["namespace"],
        "task": data["task"],
        "run": data["run"],
        "step": data["step"],
        "data": {name: data[name] for name in ("phase", "attempt", "seconds")},
    }
    earlier: list[dict[str, Any]] = [{"type": "task.applied", "ns": "default", "task": "other"}] * 2

    sent = expand(4711, datetime(2026, 11, 23, 6, 30, 0, 412_000, tzinfo=UTC), [*earlier, compact])

    assert sent[-1] == shown


REASONS: dict[str, Callable[[], set[str]]] = {
    "readiness": lambda: found_in_sources(r'Readiness\("(\w+)"'),
    "conditions": lambda: found_in_sources(r'Standing\((?:True|False), "(\w+)"'),
    "runs": lambda: found_in_sources(r'RunPhase\.\w+,\s*reason="(\w+)"'),
    "skipped": lambda: {*SkipReason},
}


@pytest.mark.parametrize("kind", REASONS)
def test_every_reason_is_explained(kind: str) -> None:
    text = page("docs/troubleshooting.md")
    reasons = REASONS[kind]()
    assert reasons
    assert [reason for reason in sorted(reasons) if f"`{reason}`" not in text] == []


def test_every_cause_is_explained() -> None:
    of = {"task", "run", "task, run"}
    explained = [re.findall(r"`(\w+)`", row[0]) for row in rows("docs/troubleshooting.md") if row[1:2] and row[1] in of]
    assert sorted(itertools.chain(*explained)) == sorted(Cause)


def test_every_need_of_readiness_is_explained() -> None:
    needs = found_in_sources(r'^NEED(?:: \w+)? = "(\w+)"') | found_in_sources(r'missing\("(\w+)", why')
    needs |= found_in_sources(r'need="(\w+)"')
    explained = {first_code(row[0]) for row in rows("docs/troubleshooting.md") if len(row) == 3}
    assert needs <= explained
