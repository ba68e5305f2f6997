"""Values that can't work are refused, with the key, the reason and what to write instead."""

import re
from collections.abc import Callable

import pytest

from tests.helm.looking import DATABASE, TOKENS, assert_told, given
from tests.helm.rendering import CHART

MISTAKES = {
    "no database": ({}, "database: there is no database", "trial.enabled=true"),
    "two databases": (
        given(trial={"enabled": True}),
        "database.existingSecret, trial.enabled: there can be one database only",
        "one of them",
    ),
    "address and parts": (
        {"database": {"existingSecret": "db", "keys": {"host": "h"}}},
        "database.keys: the address is given twice",
        'uri: ""',
    ),
    "some parts": (
        {"database": {"existingSecret": "db", "keys": {"uri": "", "host": "h"}}},
        "database.keys: without uri, every part is needed",
        "username, password and dbname",
    ),
    "a check without a CA": (
        {"database": {"existingSecret": "db", "tls": {"mode": "verify-full"}}},
        "database.tls.caSecret: verify-full needs the CA",
        "the Secret that holds it",
    ),
    "two Redis": (
        {"trial": {"enabled": True}, "redis": {"existingSecret": "r"}},
        "redis.existingSecret: trial has a Valkey of its own",
        "trial.enabled=false",
    ),
    "a CA for nothing": (
        given(redis={"tls": {"caSecret": "ca"}}),
        "redis.tls.caSecret: there is no Redis",
        "redis.existingSecret",
    ),
    "a hook before its database": (
        {"trial": {"enabled": True}, "migrations": {"mode": "hook"}},
        "migrations.mode: a hook runs before the database",
        "auto or job",
    ),
    "killed workers": (
        given(worker={"terminationGracePeriodSeconds": 60}),
        "worker.terminationGracePeriodSeconds: 60",
        "at least 75 (drainSeconds + 15), or null",
    ),
    "cut off requests": (
        given(api={"terminationGracePeriodSeconds": 19}),
        "api.terminationGracePeriodSeconds: 19",
        "at least 20 (preStopSleepSeconds + 15)",
    ),
    "rights for any pod": (
        given(operator={"serviceAccount": {"create": False}}),
        "operator.serviceAccount.name: with create: false the account is yours",
        "its name",
    ),
    "reviews by any pod": (
        given(api={"serviceAccount": {"create": False}}),
        "api.serviceAccount.name: with create: false the account is yours",
        "its name",
    ),
    "nobody who vouches": (
        given(authentication={"modes": ["local"]}),
        "authentication.modes: local lets everybody do everything",
        "kubernetes, or tokens or oidc",
    ),
    "an unknown authority": (
        given(authentication={"modes": ["ldap"]}),
        'authentication.modes: "ldap" is no authority',
        "kubernetes, oidc and tokens",
    ),
    "tokens without their file": (
        given(authentication={"modes": ["tokens"]}),
        "authentication.accessFile: tokens needs the access file",
        "existingConfigMap",
    ),
    "two files": (
        given(authentication=TOKENS | {"accessFile": {"existingSecret": "a", "existingConfigMap": "b"}}),
        "authentication.accessFile: there can be one file only",
        "not both",
    ),
    "an issuer that anybody could be": (
        given(authentication=TOKENS | {"modes": ["oidc"], "oidc": {"issuer": "http://x", "audience": "us"}}),
        'authentication.oidc.issuer: "http://x"',
        "https",
    ),
    "tokens for others": (
        given(authentication=TOKENS | {"modes": ["oidc"], "oidc": {"issuer": "https://x"}}),
        "authentication.oidc.audience: without it",
        "client id",
    ),
    "headers for nobody": (
        given(tracing={"headersSecret": {"name": "otlp", "key": "headers"}}),
        "tracing.headersSecret: there is no endpoint",
        "tracing.otlpEndpoint",
    ),
    "headers at no key": (
        given(tracing={"otlpEndpoint": "http://c:4318", "headersSecret": {"name": "otlp"}}),
        "tracing.headersSecret.key",
        "the key",
    ),
    "a field that is there already": (
        given(worker={"extraPodSpec": {"volumes": [], "runtimeClassName": "gvisor"}}),
        "worker.extraPodSpec.volumes: the chart writes this field itself",
        "extraVolumes",
    ),
    "a value of other charts": (
        given(replicaCount=3),
        "replicaCount: this chart has no such value",
        "operator.replicas, worker.replicas and api.replicas",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_refused_with_key_reason_and_remedy(refused: Callable[..., str], mistake: str) -> None:
    values, reason, remedy = MISTAKES[mistake]
    assert_told(refused(values), reason=reason, remedy=remedy)


def test_a_name_that_no_service_can_have_is_refused(refused: Callable[..., str]) -> None:
    assert "fullnameOverride" in refused(given(), release="1st")


def test_all_mistakes_are_told_at_once(refused: Callable[..., str]) -> None:
    message = refused({"replicaCount": 1, "worker": {"terminationGracePeriodSeconds": 1}})
    assert len([line for line in message.splitlines() if "; write " in line]) == 3


def test_every_renamed_key_is_refused_by_the_templates_and_not_by_the_schema(refused: Callable[..., str]) -> None:
    text = (CHART / "templates/_helpers/_deprecations.tpl").read_text()
    table = re.findall(r"^(\w+): (\w.+)$", text, re.MULTILINE)
    assert len(table) > 10
    message = refused(DATABASE | dict.fromkeys((key for key, _ in table), "x"))
    for key, instead in table:
        assert f"{key}: this chart has no such value; write {instead}" in message
