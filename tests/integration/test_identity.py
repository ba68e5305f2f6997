"""Callers with identities, through the whole application: who gets in, what they may do, and what is written down."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from ordinaut.access import accessfile
from ordinaut.access.caller import Authority
from ordinaut.access.grants import new_token
from ordinaut.store.pool import Pool
from tests.running import Processes, until
from tests.security.sockets import Served, serve
from tests.security.tenants import OURS, THEIRS, Access, Api, path_of, serving, write_access
from tests.unit.api.identity.issuer import AUDIENCE, Key, issuing

pytestmark = pytest.mark.integration

TASKS = path_of("tasks")


@pytest.fixture
def access(tmp_path: Path) -> Access:
    return write_access(tmp_path / "access.yaml")


@pytest.fixture
async def api(database: str, access: Access) -> AsyncIterator[Api]:
    async with serving(database, access) as served:
        yield served


async def audited(pool: Pool) -> list[dict[str, Any]]:
    async with pool.connection() as connection:
        rows = await connection.execute(
            "SELECT actor, verb, namespace, object, decision, request_id FROM audit ORDER BY id"
        )
        names = ("actor", "verb", "namespace", "object", "decision", "request_id")
        return [dict(zip(names, row, strict=True)) for row in await rows.fetchall()]


def problem(answer: httpx2.Response, status: int, slug: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.json()
    assert found["type"] == f"urn:ordinaut:problem:{slug}"
    return found


async def test_a_caller_is_told_who_it_is(api: Api) -> None:
    answer = await api.call("viewer-a", "GET", "/v1/whoami")
    assert answer.json() == {"id": "tokens:viewer-a", "authority": "tokens", "user": "viewer-a", "groups": []}
    problem(await api.call(None, "GET", "/v1/whoami"), 401, "unauthenticated")


async def test_without_identities_the_caller_is_whoever_is_here(database: str, access: Access) -> None:
    async with serving(database, access, authentication=(Authority.LOCAL,)) as api:
        answer = await api.client.get("http://127.0.0.1:8080/v1/whoami")
        assert answer.json()["id"] == "local:local"
        assert "ratelimit" not in answer.headers


async def test_a_denial_is_written_down_once_and_counted_every_time(api: Api, pool: Pool) -> None:
    answers = [await api.call("nobody", "GET", f"{TASKS}?limit=7", headers={"x-request-id": f"r{i}"}) for i in range(5)]
    assert problem(answers[0], 403, "forbidden")["detail"] == (
        f"nobody may not list tasks in namespace {OURS}; ask for a role that can."
    )
    problem(await api.call("nobody", "DELETE", f"{TASKS}/x"), 403, "forbidden")
    problem(await api.call("nobody", "POST", f"{TASKS}/x/run"), 403, "forbidden")
    told = [
        (row["actor"], row["verb"], row["object"], row["decision"], row["request_id"]) for row in await audited(pool)
    ]
    assert told[0] == ("tokens:nobody", "list", "tasks", "Denied", "r0")
    assert [row[1] for row in told] == ["list", "delete", "run"]  # what was tried, in the words of those who did it


async def test_a_token_taken_out_of_the_file_is_refused_soon(
    database: str, access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accessfile, "INTERVAL", 0.02)
    async with serving(database, access) as api:
        assert (await api.call("viewer-a", "GET", TASKS)).status_code == 200
        assert (await api.call("viewer-a", "DELETE", f"{TASKS}/x")).status_code == 403
        document = yaml.safe_load(access.path.read_text())
        entries = {one["name"]: one for one in document["tokens"]}
        entries["viewer-a"]["bindings"] = [{"role": "editor", "namespaces": [OURS]}]
        document["tokens"].remove(entries["admin-a"])
        access.path.write_text(yaml.safe_dump(document))
        async with asyncio.timeout(60):
            while (await api.call("admin-a", "GET", TASKS)).status_code != 401:
                await asyncio.sleep(0.02)
        assert (await api.call("viewer-a", "DELETE", f"{TASKS}/x")).status_code == 404


async def test_callers_are_limited_and_told_how_they_stand(database: str, access: Access) -> None:
    async with serving(database, access, rate_limit=5) as api:
        answers = [await api.call("viewer-a", "GET", TASKS) for _ in range(7)]
        assert [one.status_code for one in answers] == [200] * 5 + [429] * 2
        assert {one.headers["ratelimit-policy"] for one in answers} == {'"namespace";q=5;w=60, "caller";q=50;w=60'}
        assert [one.headers["ratelimit"].split(";")[1] for one in answers] == ["r=4", "r=3", "r=2", "r=1", "r=0"] + [
            "r=0"
        ] * 2
        problem(answers[-1], 429, "rate-limited")
        assert 1 <= int(answers[-1].headers["retry-after"]) <= 120
        assert (await api.call("editor-a", "GET", TASKS)).status_code == 200
        # What is not found, refused or wrong counts as well.
        assert "ratelimit" in (await api.call("editor-a", "GET", f"{TASKS}/none")).headers
        assert "ratelimit" in (await api.call("editor-a", "GET", path_of("tasks", namespace=THEIRS))).headers
        assert "ratelimit" in (await api.call("editor-a", "GET", path_of("tasks", namespace="UPPER"))).headers
        assert "ratelimit" in (await api.call("editor-a", "GET", "/v1/whoami")).headers
        assert "ratelimit" not in (await api.call(None, "GET", TASKS)).headers


async def test_namespaces_that_are_made_up_end_at_the_callers_limit(database: str, access: Access, pool: Pool) -> None:
    async with serving(database, access, rate_limit=10) as api:
        found = [(await api.call("nobody", "GET", path_of("tasks", namespace=f"n{i}"))).status_code for i in range(120)]
    assert found == [403] * 100 + [429] * 20
    assert len(await audited(pool)) == 60


async def test_failed_authentications_are_limited_by_address(database: str, access: Access) -> None:
    async with serving(database, access, rate_limit_failures=10) as api:
        wrong = {"Authorization": f"Bearer {new_token().token}"}
        answers = [await api.client.get(TASKS, headers=wrong) for _ in range(12)]
        assert [one.status_code for one in answers] == [401] * 10 + [429] * 2
        problem(answers[-1], 429, "rate-limited")


async def test_pages_of_sites_that_are_named_may_call(database: str, access: Access) -> None:
    site = {"Origin": "https://console.example"}
    async with serving(database, access, cors_origins=("https://console.example",)) as api:
        asked = {**site, "Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "authorization"}
        preflight = await api.client.options(f"{TASKS}/x", headers=asked)
        assert preflight.status_code == 200
        assert preflight.headers["access-control-allow-origin"] == "https://console.example"
        for answer in (
            await api.call("viewer-a", "GET", TASKS, headers=site),
            await api.call(None, "GET", TASKS, headers=site),
        ):
            assert answer.headers["access-control-allow-origin"] == "https://console.example"
            assert "access-control-allow-credentials" not in answer.headers
            assert "RateLimit" in answer.headers["access-control-expose-headers"]
        other = await api.call("viewer-a", "GET", TASKS, headers={"Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in other.headers


async def test_two_authorities_side_by_side(database: str, access: Access) -> None:
    key = Key("one")
    document = yaml.safe_load(access.path.read_text())
    document["groups"] = [{"name": "ops", "bindings": [{"role": "admin", "namespaces": ["*"]}]}]
    access.path.write_text(yaml.safe_dump(document))
    async with issuing() as issuer:
        issuer.keys = [key.public]
        settings = {"oidc_issuer": issuer.url, "oidc_audience": AUDIENCE}
        async with serving(database, access, authentication=(Authority.TOKENS, Authority.OIDC), **settings) as api:

            async def ask(path: str, **claims: Any) -> httpx2.Response:
                headers = {"Authorization": f"Bearer {issuer.token(key, **claims)}"}
                return await api.client.get(path, headers=headers)

            assert (await ask("/v1/whoami", groups=["ops"])).json() == {
                "id": "oidc:ada",
                "authority": "oidc",
                "user": "ada",
                "groups": ["ops"],
            }
            assert (await ask(TASKS, groups=["ops"])).status_code == 200
            assert (await ask(TASKS, sub="viewer-a")).status_code == 403  # the name of a token is no user's
            problem(await ask(TASKS, aud="other", groups=["ops"]), 401, "unauthenticated")
            problem(await ask(TASKS, iss="https://other.example", groups=["ops"]), 401, "unauthenticated")
            assert (await api.call("viewer-a", "GET", TASKS)).status_code == 200
            issuer.keys = []
            issuer.away = True
            assert (await api.call("viewer-a", "GET", TASKS)).status_code == 200


async def test_an_issuer_that_is_away_is_told_as_such(database: str, access: Access) -> None:
    key = Key("one")
    async with issuing() as issuer:
        issuer.away = True
        settings = {"oidc_issuer": issuer.url, "oidc_audience": AUDIENCE}
        async with serving(database, access, authentication=(Authority.OIDC,), **settings) as api:
            answer = await api.client.get(TASKS, headers={"Authorization": f"Bearer {issuer.token(key)}"})
            problem(answer, 503, "unavailable")
            assert answer.headers["retry-after"]


def test_the_process_speaks_of_callers_and_never_of_tokens(processes: Processes, access: Access) -> None:
    served = serve(processes, access, api_host="0.0.0.0", log_level="DEBUG")
    stranger = new_token().token
    assert served.call("viewer-a", "GET", TASKS).status_code == 200
    assert served.call("viewer-a", "DELETE", f"{TASKS}/x").status_code == 403
    assert served.call(None, "GET", TASKS, headers={"Authorization": f"Bearer {stranger}"}).status_code == 401

    def requests() -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in served.process.log().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == "request" and line["path"].startswith("/v1/")]

    until(lambda: len(requests()) == 3, what=served.process.log)  # a line is written after its answer
    assert [line.get("caller") for line in requests()] == ["tokens:viewer-a", "tokens:viewer-a", None]
    log = served.process.log()
    assert "no authentication" not in log
    assert not [token for token in (*access.tokens.values(), stranger) if token in log]


def test_an_address_that_a_caller_makes_up_does_not_count_unless_a_proxy_says_it(
    processes: Processes, access: Access
) -> None:
    settings = {"rate_limit_failures": 3}
    plain = serve(processes, access, **settings)
    behind = serve(processes, access, **settings, forwarded_allow_ips="127.0.0.0/8")

    def statuses(served: Served) -> list[int]:
        headers = ({"X-Forwarded-For": f"192.0.2.{number}"} for number in range(6))
        return [served.call(None, "GET", TASKS, headers=one).status_code for one in headers]

    assert statuses(plain) == [401] * 3 + [429] * 3
    assert statuses(behind) == [401] * 6


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tokens:\n- name: a\n  sha256: zz\n  bindings: []\n", "access.yaml:3: tokens[0].sha256: Invalid value"),
        (None, "access.yaml: Invalid value: can't be read: No such file or directory"),
    ],
)
def test_a_broken_access_file_ends_the_process_with_the_place_and_no_traceback(
    tmp_path: Path, text: str | None, said: str
) -> None:
    path = tmp_path / "access.yaml"
    if text is not None:
        path.write_text(text)
    environment = {
        "ORDINAUT_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "ORDINAUT_AUTHENTICATION": "tokens",
        "ORDINAUT_ACCESS_FILE": str(path),
        "ORDINAUT_PROBE_PORT": "0",
    }
    ended = subprocess.run(
        [sys.executable, "-m", "ordinaut_api"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"{tmp_path}/{said}")
    assert len(ended.stderr.splitlines()) == 1
