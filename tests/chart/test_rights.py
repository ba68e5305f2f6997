"""
What the processes may do and do, installed for the whole cluster and for one namespace: at work within two seconds,
exactly the rights that the chart says, none of them missing and none unused.
"""

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from tests.chart.conftest import Releases
from tests.chart.ledger import Ledger
from tests.chart.release import NAMESPACE, Release
from tests.chart.users import Users, working
from tests.cluster.audit import Trail
from tests.cluster.controlplane import ControlPlane
from tests.declaring import hook, manifest
from tests.running import until
from tests.timing import at_most
from tests.toolserver import ToolServer

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("chart"), pytest.mark.timeout(300)]

Right = tuple[str, str, str]
"""Group, resource (with the name of the only object, if it is narrowed to one), verb."""

KINDS = ("hooks", "pipelines", "tasks", "tools")
ACCOUNTS = ("ordinaut-operator", "ordinaut-api", "ordinaut-worker")

# The whole of what Ordinaut may do in a cluster.
RESOURCES: set[Right] = {("ordinaut.io", kind, verb) for kind in KINDS for verb in ("list", "watch")} | {
    ("ordinaut.io", f"{kind}/status", "patch") for kind in KINDS
}
RESOURCES |= {("", "events", verb) for verb in ("create", "patch")}
REVIEWS: set[Right] = {("authorization.k8s.io", "subjectaccessreviews", "create")}
TOKENS: set[Right] = {("authentication.k8s.io", "tokenreviews", "create")}
LEASE: set[Right] = {
    ("coordination.k8s.io", "leases", "create"),
    ("coordination.k8s.io", "leases:ordinaut-operator", "get"),
    ("coordination.k8s.io", "leases:ordinaut-operator", "update"),
    ("coordination.k8s.io", "leases:ordinaut-operator", "delete"),
}
ASKED_BY_ADMISSION: set[Right] = {("coordination.k8s.io", "leases", "delete")}
"""Not used by any request: who makes itself the owner of the Lease must have it."""


@dataclass(frozen=True)
class Worked:
    """A release that has done all that it does, and what was seen of it."""

    mode: str
    release: Release
    users: Users
    others: Users
    trail: Trail
    handled_after: float
    """Seconds from the first line of the operator's log until the database had the Task."""
    answers: dict[str, int]
    """Status codes of the api, by who asked for what."""

    @property
    def namespaces(self) -> tuple[str, str]:
        """A namespace that is watched in each mode, and one that is watched in none but the cluster's."""
        return self.users.namespace, self.others.namespace


@pytest.fixture(scope="module", params=["cluster", "namespaced"])
def worked(
    request: pytest.FixtureRequest,
    control_plane: ControlPlane,
    releases: Releases,
    new_users: Callable[[], contextlib.AbstractContextManager[Users]],
) -> Iterator[Worked]:
    """Install the chart in one of its modes and have it do everything once."""
    trail = Trail(control_plane.directory)
    with releases("helm4") as release, new_users() as users, new_users() as others, ToolServer() as tools:
        watched = {"watchNamespaces": [users.namespace]} if request.param == "namespaced" else {}
        # A first release brings the CRDs; the operator of the second finds a Task when it starts.
        release.install({**watched, "operator": {"replicas": 0}})
        for each in (users, others):
            each.apply(*working(["one"], tools=tools.url, tasks=["declared"]), hook("mail", "mail.received"))
        release.upgrade({**watched, "migrations": {"mode": "none"}})
        until(lambda: users.ready("Task", "declared"), what="the status of the Task")
        until(lambda: users.object("Hook", "mail").get("status"), what="the status of the Hook")
        users.apply(skipping())
        until(lambda: tools.calls("one"), what="a run")
        answers = ask_the_api(release, users, others)
        until(lambda: skipped_times(users) > 1, what="an event about several skipped times")
        yield Worked(request.param, release, users, others, trail, handled_after(release, users), answers)


def skipping() -> dict[str, Any]:
    """Return a Task that is not ready at any of its times, which are soon."""
    now = datetime.now(UTC).replace(microsecond=0)
    moments = [now + timedelta(seconds=3 * n) for n in range(1, 11)]
    schedules = [{"at": moment.isoformat().replace("+00:00", "Z")} for moment in moments]
    return manifest("Task", "skipping", {"schedules": schedules, "pipelineRef": {"name": "missing"}})


def skipped_times(users: Users) -> int:
    """Return how many skipped times the Event about that Task tells of."""
    listed = json.loads(users.kubectl("get", "events", "--field-selector=reason=NotReady", "--output=json"))
    return max((int(one["count"]) for one in listed["items"] if one["involvedObject"]["name"] == "skipping"), default=0)


def ask_the_api(release: Release, users: Users, others: Users) -> dict[str, int]:
    """Use the api as a tenant's service account, and make a task that runs with its rights."""
    control_plane = release.control_plane
    token = control_plane.token_for("agent", users.namespace, audience="ordinaut")
    kind = "clusterrole"
    roles = control_plane.kubectl("get", "roles", f"--namespace={users.namespace}", "--output=name").stdout
    if "ordinaut-editor" in roles:
        kind = "role"
    account = f"--serviceaccount={users.namespace}:agent"
    users.kubectl("create", "rolebinding", "agent", f"--{kind}=ordinaut-editor", account)
    nobody = control_plane.token_for("nobody", users.namespace, audience="ordinaut")
    other_audience = control_plane.token_for("agent", users.namespace)
    own, foreign = (f"/v1/namespaces/{one.namespace}/tasks" for one in (users, others))

    with httpx2.Client(base_url=release.url(), timeout=30, trust_env=False) as client:

        def asked(token: str, path: str, method: str = "GET", body: object = None) -> int:
            headers = {"Authorization": f"Bearer {token}"}
            return client.request(method, path, headers=headers, json=body).status_code

        until(lambda: asked(token, own) == 200, what="the binding to count", seconds=at_most(15))
        spec = {"schedules": [{"cron": "*/10 * * * * *"}], "pipelineRef": {"name": "work"}}
        made = manifest("Task", "made", spec, namespace=users.namespace)
        answers = {
            "agent makes a task": asked(token, own, "POST", made),
            "agent reads": asked(token, own),
            "agent reads elsewhere": asked(token, foreign),
            "nobody reads": asked(nobody, own),
            "a token for others reads": asked(other_audience, own),
            "without a token": client.get(own).status_code,
        }
    ledger = Ledger(release.database)
    fired = "SELECT count(*) FROM fire JOIN task USING (task_id) WHERE name = 'made' AND outcome = 'Fired'"
    until(lambda: ledger.one(fired), what="the task of the agent to fire")
    return answers


def handled_after(release: Release, users: Users) -> float:
    """Return how long after its start the operator had taken over what was there."""
    first = next(line for line in release.log(release.pod("operator")).splitlines() if '"started"' in line)
    started = datetime.fromisoformat(json.loads(first)["timestamp"])
    query = "SELECT updated_at FROM task WHERE namespace = %s AND name = 'declared'"
    taken: Any = Ledger(release.database).one(query, users.namespace)
    return float((taken - started).total_seconds())


def allowed(release: Release, account: str, namespace: str) -> set[Right]:
    """Return what an account may do in a namespace, without what every account may (`auth can-i --list`)."""

    def listed(name: str) -> set[Right]:
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{NAMESPACE}", "system:authenticated")
        command = ["create", "--raw=/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", "--filename=-"]
        command += [f"--as=system:serviceaccount:{NAMESPACE}:{name}", *(f"--as-group={group}" for group in groups)]
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": {}}
        review["spec"] = {"namespace": namespace}
        answer = json.loads(release.control_plane.kubectl(*command, stdin=json.dumps(review)).stdout)
        assert not answer["status"]["incomplete"]
        return {
            (group, ":".join(filter(None, (resource, object_name))), verb)
            for rule in answer["status"]["resourceRules"]
            for group in rule["apiGroups"]
            for resource in rule["resources"]
            for object_name in rule.get("resourceNames", [""])
            for verb in rule["verbs"]
        }

    return listed(account) - listed("nobody")


def used(worked: Worked, account: str) -> set[tuple[Right, str]]:
    """Return what an account asked for and was given, each with the namespace."""
    return {
        ((asked.request.group, asked.request.resource, asked.request.verb), asked.request.namespace)
        for asked in worked.trail.of(account, namespace=NAMESPACE)
        if asked.allowed
    }


def test_the_first_task_is_handled_within_two_seconds_of_the_operators_start(worked: Worked) -> None:
    print(f"{worked.handled_after:.2f} s")
    assert 0 < worked.handled_after < at_most(2)


def test_a_service_account_may_do_what_the_chart_says_and_nothing_else(worked: Worked) -> None:
    resources = RESOURCES if worked.mode == "cluster" else set()
    found = {
        account: [allowed(worked.release, account, where) for where in (NAMESPACE, *worked.namespaces)]
        for account in ACCOUNTS
    }
    assert found == {
        "ordinaut-operator": [resources | REVIEWS | LEASE, RESOURCES | REVIEWS, resources | REVIEWS],
        "ordinaut-api": [REVIEWS | TOKENS] * 3,
        "ordinaut-worker": [set()] * 3,
    }


def test_no_right_is_missing(worked: Worked) -> None:
    refused = [asked for account in ACCOUNTS for asked in worked.trail.of(account, namespace=NAMESPACE)]
    assert [asked for asked in refused if not asked.allowed] == []


def test_no_right_is_unused(worked: Worked) -> None:
    for account, granted in {
        "ordinaut-operator": RESOURCES | REVIEWS | LEASE,
        "ordinaut-api": REVIEWS | TOKENS,
    }.items():
        unnamed = {(group, resource.partition(":")[0], verb) for group, resource, verb in granted}
        assert {right for right, _ in used(worked, account)} == unnamed - ASKED_BY_ADMISSION
    assert used(worked, "ordinaut-worker") == set()


def test_only_what_is_watched_is_looked_at(worked: Worked) -> None:
    watched, other = worked.namespaces
    asked = {namespace for (group, *_), namespace in used(worked, "ordinaut-operator") if group == "ordinaut.io"}
    names = "SELECT DISTINCT namespace FROM task WHERE name = 'declared'"
    known = {name for (name,) in Ledger(worked.release.database).rows(names)}
    if worked.mode == "cluster":
        assert known == {watched, other}
    else:
        assert (asked, known) == ({watched}, {watched})


def test_a_tenants_token_does_what_its_rights_say(worked: Worked) -> None:
    assert worked.answers == {
        "agent makes a task": 201,
        "agent reads": 200,
        "agent reads elsewhere": 403,
        "nobody reads": 403,
        "a token for others reads": 401,
        "without a token": 401,
    }
