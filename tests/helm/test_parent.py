"""The chart as a part of another: under its condition, with a `global` that it shares."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helm.rendering import CHART, Helm, Refused, kinds, load, pick, pod_templates

_PARENT = {
    "apiVersion": "v2",
    "name": "platform",
    "version": "1.0.0",
    "dependencies": [
        {"name": "ordinaut", "version": ">=0-0", "repository": f"file://{CHART}", "condition": "ordinaut.enabled"}
    ],
}


@pytest.fixture
def parent(any_helm: Helm, tmp_path: Path) -> Path:
    """A chart that depends on ours, with its dependency packed."""
    (tmp_path / "Chart.yaml").write_text(yaml.safe_dump(_PARENT))
    any_helm.run("dependency", "build", "--skip-refresh", str(tmp_path))
    return tmp_path


def rendered(helm: Helm, parent: Path, values: dict[str, Any]) -> list[dict[str, Any]]:
    (parent / "values.yaml").write_text(yaml.safe_dump(values))
    return load(helm.run("template", "prod", str(parent), "--namespace", "apps", "--kube-version", "1.33.0"))


def test_a_parent_switches_it_on_and_off_and_shares_its_globals(any_helm: Helm, parent: Path) -> None:
    ours = {"enabled": True, "database": {"existingSecret": "db"}, "metrics": {"renderMode": "alwaysRender"}}
    shared = {"imageRegistry": "mirror.example", "storageClass": "fast", "of-others": {"any": [1, "two"]}}
    objects = rendered(any_helm, parent, {"ordinaut": ours, "global": shared})
    assert pick(objects, "Service")["metadata"]["name"] == "prod-ordinaut-api"
    images = {container["image"] for _, one in pod_templates(objects) for container in one["spec"]["containers"]}
    assert all(image.startswith("mirror.example/") for image in images)
    assert "CustomResourceDefinition" in kinds(objects)
    assert rendered(any_helm, parent, {"ordinaut": ours | {"enabled": False}, "global": shared}) == []


def test_a_parents_misspelt_key_is_refused(any_helm: Helm, parent: Path) -> None:
    with pytest.raises(Refused, match="wroker"):
        rendered(any_helm, parent, {"ordinaut": {"database": {"existingSecret": "db"}, "wroker": {}}})
