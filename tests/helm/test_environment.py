"""The processes understand what the chart tells them: each variable is one of theirs, and each value is a good one."""

import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from ordinaut import settings
from ordinaut.settings import ProcessSettings
from ordinaut_api.settings import ApiSettings
from ordinaut_operator.settings import OperatorSettings
from ordinaut_worker.settings import WorkerSettings
from tests.helm.rendering import CI, Helm, Object, containers, pod_templates

SETTINGS = {
    "operator": OperatorSettings,
    "worker": WorkerSettings,
    "api": ApiSettings,
    "migrate": ProcessSettings,
}

STANDARD = {  # of libpq, OpenTelemetry and Kubernetes
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_RESOURCE_ATTRIBUTES",
    "OTEL_TRACES_SAMPLER",
    "OTEL_TRACES_SAMPLER_ARG",
    "PGDATABASE",
    "PGHOST",
    "PGPASSWORD",
    "PGPORT",
    "PGSSLMODE",
    "PGSSLROOTCERT",
    "PGUSER",
    "POD_NAME",
    "POD_NAMESPACE",
    "POD_UID",
}

IDENTITIES = ("ORDINAUT_AUTHENTICATION", "ORDINAUT_ACCESS_", "ORDINAUT_OIDC_", "ORDINAUT_KUBERNETES_")
"""What api and operator are told alike, though not both need each."""

STAND_INS = {
    "ORDINAUT_DATABASE_URL": "postgresql://user:password@postgres:5432/ordinaut",
    "ORDINAUT_REDIS_URL": "rediss://redis:6379/0",
    "PGPORT": "5432",
}
"""What the Secrets hold."""


def environment(container: Object) -> dict[str, str]:
    """Return the variables as the kubelet would set them."""
    return {one["name"]: one.get("value") or STAND_INS.get(one["name"], "stand-in") for one in container["env"]}


def below(folder: Path, container: Object) -> dict[str, str]:
    """Return the same with the files that the processes look for at once: below a folder, and there."""
    told = environment(container)
    for name in told.keys() & {"ORDINAUT_ACCESS_FILE", "ORDINAUT_REDIS_CA_FILE"}:
        assert Path(told[name]).parent.as_posix() in [mount["mountPath"] for mount in container["volumeMounts"]]
        file = folder / told[name].lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        told[name] = str(file)
    return told


def processes(objects: list[Object]) -> list[tuple[type[ProcessSettings], Object]]:
    """Return the containers of our processes with the settings that each reads."""
    found = [one for _, template in pod_templates(objects) for one in containers(template)]
    return [(SETTINGS[one["name"]], one) for one in found if one["name"] in SETTINGS]


@pytest.mark.parametrize("values", CI)
def test_every_variable_is_one_that_its_process_reads(helms: dict[str, Helm], values: str) -> None:
    for kind, container in processes(helms["helm4"].objects(values)):
        known = {variable for name, field in kind.model_fields.items() for variable in settings.variables(name, field)}
        given = {one["name"] for one in container["env"]} - {"HTTPS_PROXY"}  # which one of the files adds
        told_alike = {name for name in given if name.startswith(IDENTITIES)} if kind is OperatorSettings else set()
        assert given <= known | STANDARD | told_alike, container["name"]


@pytest.mark.parametrize("values", CI)
def test_every_process_takes_its_settings(
    helms: dict[str, Helm], values: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for kind, container in processes(helms["helm4"].objects(values)):
        with monkeypatch.context() as patch:
            for name in [name for name in os.environ if name.startswith("PG")]:
                patch.delenv(name)
            for name, value in below(tmp_path, container).items():
                patch.setenv(name, value)
            try:
                kind()
            except ValidationError as error:
                pytest.fail(f"{container['name']}: {error}")


def test_api_and_operator_are_told_the_same_of_identities(render: Any) -> None:
    told = {
        container["name"]: {
            name: value for name, value in environment(container).items() if name.startswith(IDENTITIES)
        }
        for _, container in processes(render("oidc"))
    }
    assert told["operator"] == told["api"]
    assert told["api"]["ORDINAUT_AUTHENTICATION"] == "kubernetes,oidc"
    assert told["worker"] == told["migrate"] == {}
