"""The election: who may take the lease, who leads and for how long, whatever the API server does."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from ordinaut_operator.kube import Refused, Unavailable
from ordinaut_operator.leader import Elector, Record, Sight, claimed, is_free, lease_object, look, owner_of, parsed
from tests.timing import at_most

HELD = Record("them", 15, "2026-01-01T00:00:00.000000Z", "2026-01-01T00:01:00.000000Z", transitions=4, version="7")
NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


def test_a_lease_is_free_when_it_is_ours_or_released() -> None:
    assert is_free(Sight(replace(HELD, holder="us"), 0.0), identity="us", now=1.0)
    assert is_free(Sight(replace(HELD, holder=""), 0.0), identity="us", now=1.0)


def test_a_lease_of_others_is_free_after_its_duration_without_a_renewal() -> None:
    sight = Sight(HELD, since=100.0)
    assert not is_free(sight, identity="us", now=114.9)
    assert is_free(sight, identity="us", now=115.0)


def test_the_time_of_an_unchanged_lease_counts_from_the_first_sight() -> None:
    first = look(None, HELD, now=100.0)
    assert look(first, HELD, now=110.0).since == 100.0
    assert look(first, replace(HELD, version="8"), now=110.0).since == 110.0


def test_taking_a_lease_from_others_counts_as_transition_and_renewing_does_not() -> None:
    taken = claimed(HELD, identity="us", duration=15, at=NOW)
    assert (taken.holder, taken.transitions, taken.acquired) == ("us", 5, "2026-03-04T05:06:07.000000Z")
    renewed = claimed(taken, identity="us", duration=15, at=NOW.replace(minute=59))
    assert (renewed.transitions, renewed.acquired) == (5, taken.acquired)
    assert renewed.renewed == "2026-03-04T05:59:07.000000Z"


def test_the_first_holder_of_a_new_lease_is_no_transition() -> None:
    assert claimed(Record(), identity="us", duration=15, at=NOW).transitions == 0


def test_a_lease_is_read_as_it_was_written() -> None:
    written = lease_object(HELD, name="ordinaut-operator")
    assert parsed(written) == HELD


POD = {"POD_NAMESPACE": "ordinaut", "POD_NAME": "ordinaut-operator-1", "POD_UID": "0198-1"}


def test_a_lease_belongs_to_the_pod_that_writes_it() -> None:
    written = lease_object(HELD, name="ordinaut-operator", owner=owner_of("ordinaut", environment=POD))
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "ordinaut-operator-1", "uid": "0198-1"}
    assert written["metadata"]["ownerReferences"] == [owner]
    assert parsed(written) == HELD


@pytest.mark.parametrize("unknown", sorted(POD))
def test_a_lease_of_an_unknown_pod_belongs_to_nobody(unknown: str) -> None:
    environment = {name: value for name, value in POD.items() if name != unknown}
    assert owner_of("ordinaut", environment=environment) is None


@pytest.mark.parametrize("elsewhere", ["leases", None])
def test_a_lease_in_another_namespace_belongs_to_nobody(elsewhere: str | None) -> None:
    assert owner_of(elsewhere, environment=POD) is None, "it would be collected at once"


def test_a_lease_without_a_spec_is_free() -> None:
    assert is_free(Sight(parsed({"metadata": {"resourceVersion": "1"}}), 0.0), identity="us", now=0.0)


def test_durations_that_could_give_two_leaders_are_refused() -> None:
    with pytest.raises(ValueError, match="renew deadline"):
        Elector(kube=Api(), duration=10, renew_deadline=10)


class Api:
    """An API server that holds one Lease, and can be told to fail or to hang."""

    namespace = "ordinaut"

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.error: Exception | None = None
        self.hangs = False

    async def call(self, method: str, _path: str, *, body: Any = None, timeout: float, **_: Any) -> Mapping[str, Any]:  # noqa: ASYNC109 - as the client's
        if self.hangs:
            await asyncio.sleep(timeout)
            raise Unavailable("timeout")
        if self.error is not None:
            raise self.error
        if method == "GET":
            if self.lease is None:
                raise Refused("404", status=404)
            return self.lease
        version = int(self.lease["metadata"]["resourceVersion"]) if self.lease is not None else 0
        if method == "PUT" and body["metadata"]["resourceVersion"] != str(version):
            raise Refused("409", status=409)
        self.lease = body | {"metadata": {"name": body["metadata"]["name"], "resourceVersion": str(version + 1)}}
        return self.lease

    @property
    def holder(self) -> str:
        return str(self.lease["spec"]["holderIdentity"]) if self.lease is not None else ""


class Contest:
    """Two electors on one API server; each `round` of one takes place at a time of the test's choosing."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.api = Api()
        self.one = self.elector("one")
        self.two = self.elector("two")

    def elector(self, identity: str) -> Elector:
        return Elector(kube=self.api, identity=identity, clock=lambda: self.now)


async def test_the_first_leads_and_the_second_waits_until_it_is_gone() -> None:
    contest = Contest()
    await contest.one.round()
    await contest.two.round()
    assert (contest.one.leading, contest.two.leading) == (True, False)

    contest.now += 14.9
    await contest.two.round()
    assert not contest.two.leading
    contest.now += 0.2
    await contest.two.round()
    assert (contest.one.leading, contest.two.leading) == (False, True)
    assert contest.api.lease is not None
    assert contest.api.lease["spec"]["leaseTransitions"] == 1


async def test_a_leader_that_renews_goes_on_leading() -> None:
    contest = Contest()
    for _ in range(30):
        await contest.one.round()
        await contest.two.round()
        assert contest.one.leading
        contest.now += 2.0
    assert not contest.two.leading


@pytest.mark.parametrize(
    "error", [Unavailable("refused"), Unavailable("503"), Refused("403 forbidden", status=403)], ids=str
)
async def test_a_leader_that_cannot_renew_stops_at_the_deadline_before_anybody_else_may_start(error: Exception) -> None:
    contest = Contest()
    await contest.one.round()
    contest.api.error = error
    contest.now += 9.9
    await contest.one.round()
    assert contest.one.leading
    contest.now += 0.1
    assert not contest.one.leading, "leading ends by the clock, not by the next round"
    await contest.one.round()
    contest.api.error = None
    contest.now += 2.0
    await contest.one.round()
    assert contest.one.leading, "the lease is still its own"


async def test_a_leader_whose_lease_was_taken_notices_and_follows() -> None:
    contest = Contest()
    await contest.one.round()
    await contest.two.round()
    contest.now += 15.0
    await contest.two.round()
    for _ in range(3):
        await contest.one.round()
    assert (contest.one.leading, contest.two.leading) == (False, True)


async def test_the_lease_is_released_when_the_leader_is_stopped() -> None:
    contest = Contest()
    running = asyncio.create_task(contest.one.run())
    await asyncio.wait_for(contest.one.won(), 60)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert contest.api.holder == ""
    assert not contest.one.leading
    await contest.two.round()
    assert contest.two.leading


async def test_a_hanging_api_server_ends_leadership_in_time() -> None:
    api = Api()
    elector = Elector(kube=api, identity="one", duration=2, renew_deadline=0.4, retry_period=0.1)
    running = asyncio.create_task(elector.run())
    await asyncio.wait_for(elector.won(), 60)
    api.hangs = True
    loop = asyncio.get_running_loop()
    began = loop.time()
    while elector.leading:
        assert loop.time() - began < at_most(1)
        await asyncio.sleep(0.01)
    api.hangs = False
    await asyncio.wait_for(elector.won(), 60)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
