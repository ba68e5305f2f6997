from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel

from ordinaut.resources import crd
from ordinaut.resources.manifest import KINDS
from ordinaut.resources.rules import VALIDATIONS, NotYet
from ordinaut.resources.zones import zone_names

_CRDS = Path(__file__).parents[3] / "crds"
_ROOTS = {kind: crd.definition(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"] for kind in KINDS}
_FREE = "x-kubernetes-preserve-unknown-fields"


def _nodes(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema inside ``schema``, itself included."""
    yield path, schema
    for name, inner in schema.get("properties", {}).items():
        yield from _nodes(inner, f"{path}.{name}")
    for place in ("items", "additionalProperties"):
        if isinstance(schema.get(place), dict):
            yield from _nodes(schema[place], f"{path}[]")


_NODES = [
    node
    for kind, root in _ROOTS.items()
    for part in ("spec", "status")
    for node in _nodes(root["properties"][part], f"{kind}.{part}")
]


def test_the_files_are_what_the_models_give() -> None:
    rendered = crd.render()
    assert {path.name for path in _CRDS.glob("*")} == set(rendered)
    for name, text in rendered.items():
        assert (_CRDS / name).read_text(encoding="utf-8") == text, f"crds/{name} is stale: run `make crds`"


def test_writing_gives_the_same_text_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("one", "two"):
        monkeypatch.setattr("sys.argv", ["crd", "--write", str(tmp_path / folder)])
        crd.main()
    written = [{path.name: path.read_text() for path in (tmp_path / name).iterdir()} for name in ("one", "two")]
    assert written[0] == written[1] == crd.render()


def test_every_schema_is_structural() -> None:
    for path, node in _NODES:
        assert not {"$ref", "anyOf", "oneOf", "allOf", "not", "title", "const"} & node.keys(), path
        assert ("type" in node) or node.get(_FREE) is True, path
        assert node.get("additionalProperties", {}) is not True, f"{path}: what is deeper would be pruned"


def test_everything_that_can_grow_is_bounded() -> None:
    for path, node in _NODES:
        if node.get("type") == "string":
            assert "maxLength" in node or "enum" in node, path
        elif node.get("type") == "array":
            assert "maxItems" in node, path
        elif node.get("type") == "object" and "properties" not in node:
            assert "maxProperties" in node, path


def test_free_objects_are_only_those_that_hold_users_data() -> None:
    free = {path for path, node in _NODES if node.get(_FREE) and node.get("type") == "object"}
    pipeline = {"params"}
    assert free == {
        *(f"Pipeline.spec.{name}" for name in pipeline),
        *(f"Task.spec.pipeline.{name}" for name in pipeline),
        "Task.spec.params",
        "Tool.spec.inputSchema",
        "Tool.spec.outputSchema",
    }


def _models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield model
    for info in model.model_fields.values():
        for inner in _models_in(info.annotation):
            yield from _models(inner)


def _models_in(declared: Any) -> Iterator[type[BaseModel]]:
    if isinstance(declared, type) and issubclass(declared, BaseModel):
        yield declared
    for inner in get_args(declared):
        yield from _models_in(inner)


def test_every_unsupported_field_carries_its_refusal() -> None:
    marked = {
        info.alias
        for kind in KINDS.values()
        for model in _models(kind)
        for info in model.model_fields.values()
        if "NotYet" in repr(info)
    }
    refused = {
        path.rpartition(".")[2]
        for path, node in _NODES
        if any(rule["message"].startswith("not supported yet; ") for rule in node.get(VALIDATIONS, []))
    }
    assert marked == refused
    assert {"waitFor", "forEach", "approval", "auth", "mcp"} <= refused


def test_a_marker_is_all_it_takes() -> None:
    schema: dict[str, Any] = {}
    NotYet("wait").describe(schema)
    assert [rule["rule"] for rule in schema[VALIDATIONS]] == ["false"]


def test_the_task_crd_knows_every_zone_of_the_pinned_data() -> None:
    schedules = _ROOTS["Task"]["properties"]["spec"]["properties"]["schedules"]
    (rule,) = schedules["items"]["properties"]["timeZone"][VALIDATIONS]
    assert len(zone_names()) > 590
    assert all(f'"{name}"' in rule["rule"] for name in zone_names())


def test_only_suspend_has_a_default_that_the_server_stores() -> None:
    assert [(path, node["default"]) for path, node in _NODES if "default" in node] == [("Task.spec.suspend", False)]


@pytest.mark.parametrize(
    ("kind", "short", "columns"),
    [
        ("Task", "otask", ["Schedule", "Timezone", "Suspend", "Next", "Last", "Phase", "Age"]),
        ("Pipeline", "opipe", ["Ready", "Age"]),
        ("Tool", "otool", ["URL", "Ready", "Age"]),
        ("Hook", "ohook", ["Topic", "Style", "Ready", "Age"]),
    ],
)
def test_what_kubectl_shows(kind: str, short: str, columns: list[str]) -> None:
    document = yaml.safe_load(crd.render()[f"{kind.lower()}s.yaml"])
    (version,) = document["spec"]["versions"]
    assert document["metadata"]["name"] == f"{kind.lower()}s.ordinaut.io"
    assert document["spec"]["names"]["shortNames"] == [short]
    assert document["spec"]["names"]["categories"] == ["ordinaut"]
    assert [column["name"] for column in version["additionalPrinterColumns"]] == columns
    assert version["subresources"] == {"status": {}}
