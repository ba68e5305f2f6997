"""What must be there before the processes work: the schema of the database and the CRDs."""

import re
from typing import Any

import pytest
import yaml

from tests.helm.looking import DATABASE, Render, Values, given, pod, variables
from tests.helm.rendering import ROOT, pick


@pytest.mark.parametrize(
    ("values", "mode"),
    [
        (DATABASE, "hook"),
        (given(migrations={"mode": "job"}), "job"),
        (given(migrations={"mode": "none"}), "none"),
        ({"trial": {"enabled": True}}, "job"),
        ({"database": {"cnpg": {"enabled": True}}}, "job"),
    ],
)
def test_the_schema_comes_by_a_hook_unless_the_database_comes_with_the_release(
    render: Render, values: Values, mode: str
) -> None:
    jobs = [one for one in render(values) if one["metadata"]["name"].startswith("ordinaut-migrate")]
    jobs = [one for one in jobs if one["kind"] == "Job"]
    assert len(jobs) == (mode != "none")
    for job in jobs:
        hook = job["metadata"].get("annotations", {}).get("helm.sh/hook")
        assert hook == ("pre-install,pre-upgrade" if mode == "hook" else None)
        assert ("ttlSecondsAfterFinished" in job["spec"]) is (mode == "hook"), (
            "a Job that goes is drift to GitOps tools"
        )


def test_the_hook_can_be_given_to_another_tool(render: Render) -> None:
    annotations = {"helm.sh/hook-weight": "7", "argocd.argoproj.io/sync-wave": "-1"}
    job = pick(render(given(migrations={"annotations": annotations})), "Job")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert annotations.items() <= job["metadata"]["annotations"].items()


def test_a_job_has_another_name_as_soon_as_anything_in_it_differs(render: Render) -> None:
    def name(**values: Any) -> str:
        return str(pick(render(given(migrations={"mode": "job"}, **values)), "Job")["metadata"]["name"])

    same = name()
    assert re.fullmatch(r"ordinaut-migrate-[0-9a-f]{8}", same)
    assert name(worker={"replicas": 5}) == same, "what is not in it"
    others = {
        name(image={"tag": "9.9.9"}),
        name(defaults={"nodeSelector": {"disk": "ssd"}}),
        name(commonLabels={"team": "x"}),
        name(database={"existingSecret": "other"}),
    }
    assert len(others | {same}) == 5


def test_the_job_gets_the_schedule_and_the_sources_of_all_pods(render: Render) -> None:
    defaults = {"tolerations": [{"key": "t"}], "priorityClassName": "high", "extraEnv": [{"name": "A", "value": "b"}]}
    spec = pod(render(given(defaults=defaults)), "migrate")
    assert (spec["tolerations"], spec["priorityClassName"]) == ([{"key": "t"}], "high")
    assert variables(spec)["A"] == "b"


def test_the_crds_are_those_of_the_repository_and_stay(render: Render) -> None:
    made = {one["metadata"]["name"]: one for one in render(given()) if one["kind"] == "CustomResourceDefinition"}
    files = [yaml.safe_load(path.read_text()) for path in sorted((ROOT / "crds").glob("*.yaml"))]
    assert len(files) == len(made) == 4
    for one in files:
        assert made[one["metadata"]["name"]]["spec"] == one["spec"]
    assert {one["metadata"]["annotations"]["helm.sh/resource-policy"] for one in made.values()} == {"keep"}


def test_the_crds_go_only_where_that_is_asked_for(render: Render) -> None:
    crds = {"keep": False, "annotations": {"argocd.argoproj.io/sync-options": "ServerSideApply=true"}}
    made = [one for one in render(given(crds=crds)) if one["kind"] == "CustomResourceDefinition"]
    assert [one["metadata"]["annotations"] for one in made] == [crds["annotations"]] * 4
    left_out = render(given(crds={"enabled": False}))
    assert not [one for one in left_out if one["kind"] == "CustomResourceDefinition"]
