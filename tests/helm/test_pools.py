"""Pools of workers: Deployments of their own for other queues, which are workers in everything else."""

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from tests.helm.rendering import Object, Refused, pick

DATABASE = {"database": {"existingSecret": "db"}}

Render = Callable[..., list[Object]]


def named(objects: list[Object], kind: str) -> dict[str, Any]:
    """Return the workers' objects of a kind by name."""
    found = {one["metadata"]["name"]: one for one in objects if one["kind"] == kind}
    return {name: one for name, one in found.items() if name.startswith("ordinaut-worker")}


def container(deployment: Object) -> Any:
    return deployment["spec"]["template"]["spec"]["containers"][0]


def variables(deployment: Object) -> dict[str, str]:
    return {one["name"]: one["value"] for one in container(deployment)["env"] if "value" in one}


def test_a_pool_is_a_deployment_with_the_values_of_the_workers_and_its_own(render: Render) -> None:
    found = named(render("pools"), "Deployment")
    assert found.keys() == {"ordinaut-worker", "ordinaut-worker-gpu", "ordinaut-worker-slow"}
    usual, gpu, slow = found.values()

    assert [variables(one)["ORDINAUT_WORKER_QUEUES"] for one in found.values()] == ["default", "gpu,train", "slow"]
    assert [variables(one)["ORDINAUT_WORKER_SLOTS"] for one in found.values()] == ["16", "2", "16"]
    assert [one["spec"].get("replicas") for one in found.values()] == [None, 3, None]
    assert container(gpu)["resources"] == {
        "requests": container(usual)["resources"]["requests"],
        "limits": {"memory": "8Gi"},
    }
    assert gpu["spec"]["template"]["spec"]["nodeSelector"] == {"accelerator": "true"}
    assert {container(one)["name"] for one in found.values()} == {"worker"}
    accounts = [one["spec"]["template"]["spec"]["serviceAccountName"] for one in (usual, gpu, slow)]
    assert accounts == ["ordinaut-worker", "ordinaut-worker", "brought-for-slow"]


def test_no_deployment_selects_the_pods_of_another(render: Render) -> None:
    found = named(render("pools"), "Deployment")
    for name, one in found.items():
        selector = one["spec"]["selector"]["matchLabels"].items()
        selected = [
            other for other, two in found.items() if selector <= two["spec"]["template"]["metadata"]["labels"].items()
        ]
        assert selected == [name]


def test_each_pool_is_scaled_by_the_work_of_its_own_queues(render: Render, database: str) -> None:
    objects = render("pools")
    scaled = named(objects, "ScaledObject")
    queries = {
        name: [trigger["metadata"]["query"] for trigger in one["spec"]["triggers"]] for name, one in scaled.items()
    }
    assert queries.keys() == {"ordinaut-worker", "ordinaut-worker-slow"}
    assert all("'{slow}'" in query for query in queries["ordinaut-worker-slow"])
    assert scaled["ordinaut-worker-slow"]["spec"]["scaleTargetRef"]["name"] == "ordinaut-worker-slow"
    authentication = pick(objects, "TriggerAuthentication")["metadata"]["name"]
    for one in scaled.values():
        assert {trigger["authenticationRef"]["name"] for trigger in one["spec"]["triggers"]} == {authentication}
    with psycopg.connect(database) as connection:
        for query in queries["ordinaut-worker-slow"]:
            assert connection.execute(query).fetchall() == [(0,)]


def test_pools_are_scraped_and_fenced_like_workers(render: Render) -> None:
    objects = render("pools")
    assert named(objects, "NetworkPolicy").keys() == named(objects, "Deployment").keys()
    assert named(objects, "Service").keys() == {f"{name}-metrics" for name in named(objects, "Deployment")}
    assert named(objects, "PodDisruptionBudget").keys() == {"ordinaut-worker-gpu"}


def test_the_operator_waits_after_an_outage_for_the_longest_lease(render: Render) -> None:
    objects = render("pools")
    (operator,) = [
        one for one in objects if one["kind"] == "Deployment" and one["metadata"]["name"] == "ordinaut-operator"
    ]
    assert variables(operator)["ORDINAUT_RECOVERY_SECONDS"] == "32"


def test_workers_may_take_from_all_queues(render: Render) -> None:
    found = render(DATABASE | {"worker": {"queues": ["*"], "keda": {"enabled": True}}})
    assert variables(named(found, "Deployment")["ordinaut-worker"])["ORDINAUT_WORKER_QUEUES"] == "*"
    assert "claimable_in('{*}')" in str(named(found, "ScaledObject"))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            {"workerPools": [{"name": "a", "queues": ["a"]}, {"name": "a", "queues": ["b"]}]},
            "workerPools[a].name: two pools are called so; write another name in one of them",
        ),
        (
            {"fullnameOverride": "o" * 40, "workerPools": [{"name": "heavy-work", "queues": ["a"]}]},
            "workerPools[heavy-work].name: ",
        ),
        (
            {"workerPools": [{"name": "a", "queues": ["a"], "terminationGracePeriodSeconds": 20}]},
            "workerPools[a].terminationGracePeriodSeconds: 20: ",
        ),
        (
            {
                "workerPools": [
                    {"name": "a", "queues": ["a"], "keda": {"enabled": True}, "autoscaling": {"enabled": True}}
                ]
            },
            "workerPools[a].autoscaling, workerPools[a].keda: ",
        ),
    ],
    ids=["twice", "too long", "grace", "scalers"],
)
def test_pools_that_could_not_work_are_refused(render: Render, values: dict[str, Any], said: str) -> None:
    with pytest.raises(Refused) as refused:
        render(DATABASE | values)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    "pool",
    [
        {"name": "a"},
        {"queues": ["a"]},
        {"name": "A", "queues": ["a"]},
        {"name": "a", "queues": ["A.b"]},
        {"name": "a", "queues": []},
        {"name": "a", "queues": ["a"], "concurency": 3},
    ],
    ids=["no queues", "no name", "wrong name", "wrong queue", "none", "misspelt"],
)
def test_the_schema_knows_what_a_pool_has(render: Render, pool: dict[str, Any]) -> None:
    with pytest.raises(Refused):
        render(DATABASE | {"workerPools": [pool]})
