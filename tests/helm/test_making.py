"""What `make chart` makes is up to date, and it refuses values that it could not explain."""

import json
import tomllib
from pathlib import Path

import pytest
import yaml

from helm.making import readme, schema, values
from helm.making.__main__ import CHART, ROOT, made, renamed

FILES = sorted(path.as_posix() for path in made())


@pytest.mark.parametrize("path", FILES)
def test_files_that_are_made_are_up_to_date(path: str) -> None:
    assert (CHART / path).read_text(encoding="utf-8") == made()[Path(path)], "run `make chart`"


@pytest.mark.parametrize("folder", ["crds", "rbac"])
def test_nothing_lies_beside_the_files_that_are_made(folder: str) -> None:
    assert {path.name for path in (CHART / "files" / folder).iterdir()} == {
        path.name for path in (ROOT / folder).iterdir()
    }


def test_versions_of_chart_image_and_program_agree() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (version, version)
    images = yaml.safe_load(chart["annotations"]["artifacthub.io/images"])
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())["image"]
    assert [one["image"] for one in images] == [f"{defaults['registry']}/{defaults['repository']}:{version}"]


def test_the_chart_names_every_crd_and_an_example_that_fits() -> None:
    annotations = yaml.safe_load((CHART / "Chart.yaml").read_text())["annotations"]
    files = [yaml.safe_load(path.read_text()) for path in (ROOT / "crds").glob("*.yaml")]
    named = yaml.safe_load(annotations["artifacthub.io/crds"])
    assert {(one["kind"], one["name"]) for one in named} == {
        (one["spec"]["names"]["kind"], one["metadata"]["name"]) for one in files
    }
    assert {one["kind"] for one in yaml.safe_load(annotations["artifacthub.io/crdsExamples"])} == {"Task"}


def test_every_value_is_in_the_readme_with_its_default() -> None:
    text = (CHART / "README.md").read_text()
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    cells = [line.split("|") for line in text.splitlines() if line.startswith("| `")]
    rows = {row[1].strip(" `"): row[2].strip(" `") for row in cells}
    for key in values.read((CHART / "values.yaml").read_text()):
        if len(key.path) == 1 and key.section:
            assert f"### {key.name}\n" in text
        else:
            assert key.name in rows
    assert json.loads(rows["worker.drainSeconds"]) == defaults["worker"]["drainSeconds"]


def test_maps_are_closed_but_for_the_one_that_is_shared() -> None:
    def maps(node: object, path: str = "") -> list[str]:
        if not isinstance(node, dict):
            return []
        found = [path] if node.get("properties") and node.get("additionalProperties") is not False else []
        return found + [one for key, child in node.items() for one in maps(child, f"{path}/{key}")]

    made_schema = json.loads((CHART / "values.schema.json").read_text())
    free = [path.removeprefix("/properties/").replace("/properties/", ".") for path in maps(made_schema)]
    assert free == [
        "global",
        "global.imagePullSecrets/items",
        "migrations.podAnnotations",
        "defaults.podSecurityContext",
        "defaults.containerSecurityContext",
        "defaults.extraEnv/items",
        "tests.podAnnotations",
    ]


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("a: 1\n", "a: say behind it what it means"),
        ("a:  # is\n- c  # one\n", "write one key a line"),
    ],
)
def test_values_without_an_explanation_are_refused(text: str, remedy: str) -> None:
    with pytest.raises(ValueError, match=remedy):
        values.read(text)


def test_values_that_tell_nothing_of_what_they_hold_are_refused() -> None:
    text = (CHART / "values.yaml").read_text() + "things: []  # some\n"
    with pytest.raises(ValueError, match=r"add rules for what values\.yaml leaves open: things"):
        schema.render(values.read(text), renamed())


def test_rules_for_values_that_do_not_exist_are_refused() -> None:
    with pytest.raises(ValueError, match=r"rules for keys that values\.yaml does not have: .*watchNamespaces"):
        schema.render(values.read("a: 1  # one\n"), {})


def test_a_readme_without_a_place_for_the_values_is_refused() -> None:
    with pytest.raises(ValueError, match="put the lines"):
        readme.render("# Nothing\n", [])
