"""What the chart tells the processes: where the stores are, who vouches for callers, and the numbers of the values."""

import pytest

from tests.helm.looking import COMPONENTS, Render, given, pod, variables
from tests.helm.rendering import Object


def from_secret(name: str, key: str) -> Object:
    return {"secretKeyRef": {"name": name, "key": key}}


@pytest.mark.parametrize("component", [*COMPONENTS, "migrate"])
def test_the_database_is_known_by_its_address(render: Render, component: str) -> None:
    found = variables(pod(render(given()), component))
    assert found["ORDINAUT_DATABASE_URL"] == from_secret("db", "uri")
    assert found["PGSSLMODE"] == "prefer"


def test_the_database_is_known_by_its_parts_where_there_is_no_address(render: Render) -> None:
    keys = {"uri": "", "host": "h", "username": "u", "password": "p", "dbname": "d", "port": "o"}
    found = variables(pod(render({"database": {"existingSecret": "db", "keys": keys}}), "migrate"))
    assert "ORDINAUT_DATABASE_URL" not in found
    assert {name: found[name] for name in found if name != "PGSSLMODE"} == {
        "PGHOST": from_secret("db", "h"),
        "PGPORT": from_secret("db", "o"),
        "PGUSER": from_secret("db", "u"),
        "PGPASSWORD": from_secret("db", "p"),
        "PGDATABASE": from_secret("db", "d"),
    }


@pytest.mark.parametrize("component", [*COMPONENTS, "migrate"])
def test_the_ca_of_the_database_is_where_the_variable_says(render: Render, component: str) -> None:
    tls = {"mode": "verify-full", "caSecret": "db-ca", "caKey": "root.pem"}
    spec = pod(render({"database": {"existingSecret": "db", "tls": tls}}), component)
    assert variables(spec)["PGSSLROOTCERT"] == "/etc/ordinaut/tls/database/root.pem"
    mount = next(one for one in spec["containers"][0]["volumeMounts"] if one["name"] == "database-ca")
    assert mount == {"name": "database-ca", "mountPath": "/etc/ordinaut/tls/database", "readOnly": True}
    volume = next(one for one in spec["volumes"] if one["name"] == "database-ca")
    assert volume["secret"] == {"secretName": "db-ca", "items": [{"key": "root.pem", "path": "root.pem"}]}


def test_only_the_operator_knows_redis(render: Render) -> None:
    redis = {"existingSecret": "cache", "tls": {"caSecret": "cache-ca"}}
    objects = render(given(redis=redis))
    found = variables(pod(objects, "operator"))
    assert found["ORDINAUT_REDIS_URL"] == from_secret("cache", "uri")
    assert found["ORDINAUT_REDIS_CA_FILE"] == "/etc/ordinaut/tls/redis/ca.crt"
    assert "ORDINAUT_EVENTS" not in found
    for other in ("worker", "api", "migrate"):
        assert not [name for name in variables(pod(objects, other)) if "REDIS" in name]


@pytest.mark.parametrize(("inbox", "said"), [(True, None), (False, "off")])
def test_the_inbox_can_be_closed(render: Render, inbox: bool, said: str | None) -> None:
    found = variables(pod(render(given(redis={"existingSecret": "cache", "inbox": inbox})), "operator"))
    assert found.get("ORDINAUT_INBOX") == said


def test_without_redis_there_is_no_stream_of_events(render: Render) -> None:
    found = variables(pod(render(given()), "operator"))
    assert found["ORDINAUT_EVENTS"] == "off"
    assert "ORDINAUT_REDIS_URL" not in found


@pytest.mark.parametrize("component", ["operator", "api"])
def test_operator_and_api_ask_the_same_authorities(render: Render, component: str) -> None:
    authentication = {
        "modes": ["kubernetes", "oidc"],
        "accessFile": {"existingConfigMap": "access", "key": "who.yaml"},
        "oidc": {"issuer": "https://issuer.example", "audience": "us"},
    }
    spec = pod(render(given(authentication=authentication)), component)
    found = variables(spec)
    assert found["ORDINAUT_AUTHENTICATION"] == "kubernetes,oidc"
    assert found["ORDINAUT_ACCESS_FILE"] == "/etc/ordinaut/access/who.yaml"
    assert found["ORDINAUT_OIDC_ISSUER"] == "https://issuer.example"
    volume = next(one for one in spec["volumes"] if one["name"] == "access")
    assert volume["configMap"] == {"name": "access", "items": [{"key": "who.yaml", "path": "who.yaml"}]}
    mount = next(one for one in spec["containers"][0]["volumeMounts"] if one["name"] == "access")
    assert "subPath" not in mount, "a file that is mounted by itself never changes"


def test_large_numbers_are_not_shortened(render: Render) -> None:
    api = {"limits": {"tasks": 12_000_000}, "rateLimit": {"requestsPerMinute": 1_000_000}}
    found = variables(pod(render(given(api=api)), "api"))
    assert found["ORDINAUT_API_MAX_TASKS"] == "12000000"
    assert found["ORDINAUT_RATE_LIMIT"] == "1000000"


def test_the_operator_spares_leases_longer_than_a_heartbeat_takes(render: Render) -> None:
    found = variables(pod(render(given(worker={"leaseSeconds": 90})), "operator"))
    assert found["ORDINAUT_RECOVERY_SECONDS"] == "32"


def test_traces_go_where_the_values_say(render: Render) -> None:
    tracing = {
        "otlpEndpoint": "http://collector:4318",
        "sampleRatio": 0.25,
        "headersSecret": {"name": "otlp", "key": "headers"},
        "resourceAttributes": {"team": "a,b", "stage": "prod"},
    }
    objects = render(given(tracing=tracing))
    for component in COMPONENTS:
        found = {name: value for name, value in variables(pod(objects, component)).items() if "OTEL" in name}
        assert found == {
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318",
            "OTEL_EXPORTER_OTLP_HEADERS": from_secret("otlp", "headers"),
            "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
            "OTEL_TRACES_SAMPLER_ARG": "0.25",
            "OTEL_RESOURCE_ATTRIBUTES": "stage=prod,team=a%2Cb",
        }
