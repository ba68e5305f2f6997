"""Autoscalers: by CPU, or by the work that the database tells KEDA of."""

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from tests.helm.rendering import Object, kinds, pick

DATABASE = {"database": {"existingSecret": "db"}}

Render = Callable[..., list[Object]]


def keda(**values: Any) -> dict[str, Any]:
    return DATABASE | {"worker": {"keda": {"enabled": True} | values}}


def parameters(objects: list[Object]) -> dict[str, tuple[str, str]]:
    """Return what KEDA reads out of which Secret and key."""
    targets = pick(objects, "TriggerAuthentication")["spec"]["secretTargetRef"]
    return {one["parameter"]: (one["name"], one["key"]) for one in targets}


def test_cpu_scales_what_it_is_asked_to(render: Render) -> None:
    scalers = {
        one["metadata"]["name"]: one["spec"] for one in render("hpa") if one["kind"] == "HorizontalPodAutoscaler"
    }
    assert set(scalers) == {"ordinaut-worker", "ordinaut-api"}
    worker = scalers["ordinaut-worker"]
    assert worker["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "ordinaut-worker"}
    assert (worker["minReplicas"], worker["maxReplicas"]) == (3, 12)
    assert worker["metrics"][0]["resource"]["target"] == {"type": "Utilization", "averageUtilization": 70}
    assert worker["behavior"] == {"scaleDown": {"stabilizationWindowSeconds": 600}}
    assert "behavior" not in scalers["ordinaut-api"]


def test_keda_asks_for_the_work_that_is_there_and_for_what_is_due_soon(render: Render) -> None:
    scaled = pick(render(keda(dueWithinSeconds=90, runsPerReplica=8)), "ScaledObject")
    now, soon = [trigger["metadata"] for trigger in scaled["spec"]["triggers"]]
    # Without the runs in work, workers would be taken away as soon as they have taken all.
    assert now["query"] == "SELECT ordinaut.claimable_in('{default}') + ordinaut.leased_in('{default}')"
    assert soon["query"] == "SELECT ordinaut.due_in('{default}', 90)"
    for trigger in (now, soon):
        assert trigger["targetQueryValue"] == "8"
        assert trigger["activationTargetQueryValue"] == "0"
    assert scaled["spec"]["minReplicaCount"] == 0


def test_the_database_answers_what_keda_asks(render: Render, database: str) -> None:
    with psycopg.connect(database) as connection:
        for trigger in pick(render(keda()), "ScaledObject")["spec"]["triggers"]:
            assert connection.execute(trigger["metadata"]["query"]).fetchall() == [(0,)]


def test_keda_can_be_told_not_to_look_ahead(render: Render) -> None:
    assert len(pick(render(keda(dueWithinSeconds=0)), "ScaledObject")["spec"]["triggers"]) == 1


def test_keda_takes_no_worker_away_for_a_short_lull(render: Render) -> None:
    def behavior(objects: list[Object]) -> Any:
        return pick(objects, "ScaledObject")["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]

    assert behavior(render(keda())) == {"scaleDown": {"stabilizationWindowSeconds": 300}}
    assert behavior(render("keda"))["scaleDown"]["stabilizationWindowSeconds"] == 600


def test_keda_can_take_over_from_another_autoscaler(render: Render) -> None:
    annotations = pick(render("keda"), "ScaledObject")["metadata"]["annotations"]
    assert annotations == {"scaledobject.keda.sh/transfer-hpa-ownership": "true"}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (keda(), {"connection": ("db", "uri")}),
        (keda(connectionSecret={"name": "for-keda", "key": "address"}), {"connection": ("for-keda", "address")}),
        ("trial-all", {"connection": ("ordinaut-trial", "database-uri")}),
        (
            {"database": {"cnpg": {"enabled": True}}, "worker": {"keda": {"enabled": True}}},
            {"connection": ("ordinaut-postgres-app", "uri")},
        ),
        (
            "parts",
            {
                "host": ("ordinaut-database", "host"),
                "port": ("ordinaut-database", "port"),
                "userName": ("ordinaut-database", "username"),
                "password": ("ordinaut-database", "password"),
                "dbName": ("ordinaut-database", "dbname"),
            },
        ),
    ],
    ids=["the processes' own", "one for KEDA", "trial", "cnpg", "parts"],
)
def test_keda_reads_the_address_from_a_secret(render: Render, values: Any, expected: dict[str, Any]) -> None:
    assert parameters(render(values)) == expected


def test_parts_without_a_port_mean_the_usual_one(render: Render) -> None:
    values = keda()
    names = {"uri": "", "host": "h", "username": "u", "password": "p", "dbname": "d"}
    values["database"] = {"existingSecret": "db", "keys": names, "tls": {"mode": "require"}}
    objects = render(values)
    assert "port" not in parameters(objects)
    for trigger in pick(objects, "ScaledObject")["spec"]["triggers"]:
        assert (trigger["metadata"]["port"], trigger["metadata"]["sslmode"]) == ("5432", "require")


def test_an_address_says_its_own_port_and_mode(render: Render) -> None:
    for trigger in pick(render(keda()), "ScaledObject")["spec"]["triggers"]:
        assert not {"port", "sslmode"} & set(trigger["metadata"])


def test_nothing_scales_unless_it_is_asked_for(render: Render) -> None:
    assert not kinds(render(DATABASE)) & {"ScaledObject", "TriggerAuthentication", "HorizontalPodAutoscaler"}
