"""Whether creators may run their tasks: what is asked, how long an answer counts, and what holds up whom."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from ordinaut.access.accessfile import AccessFile
from ordinaut.access.caller import Authority, Caller
from ordinaut.errors import OrdinautError
from ordinaut.probes import Readiness
from ordinaut.store.clock import DueTask
from ordinaut_operator import rights as module
from ordinaut_operator.rights import FRESH, LAST_WORD, Rights
from ordinaut_operator.settings import OperatorSettings

NOW = datetime(2026, 3, 2, tzinfo=UTC)
ADA = Caller(Authority.KUBERNETES, "ada", groups=("system:authenticated",))


def made_by(creator: Caller | None, *, key: int = 1, namespace: str = "default") -> DueTask:
    """Return a due task."""
    return DueTask(
        task_id=7,
        evaluated_at=NOW,
        as_of=None,
        kept=0,
        next_fire_at=NOW,
        namespace=namespace,
        name="t",
        spec="{}",
        params={},
        anchor=NOW,
        revision=b"",
        exclusive=False,
        now=NOW,
        creator_id=None if creator is None else key,
        creator=None if creator is None else creator.as_json(),
    )


class Cluster:
    """An API server that answers, says no, or is away; and the time."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.asked: list[tuple[str, str]] = []
        self.revoked: set[str] = set()
        self.unclear: set[str] = set()
        self.away = False
        self.answers = asyncio.Event()
        self.readiness = Readiness()
        self.rights = Rights(
            [Authority.KUBERNETES], review=self.review, readiness=self.readiness, clock=lambda: self.now
        )

    async def review(self, creator: Caller, namespace: str) -> bool:
        self.asked.append((creator.user, namespace))
        if self.away or creator.user in self.unclear:
            raise OrdinautError("the API server does not answer")
        return creator.user not in self.revoked

    async def settled(self) -> None:
        """Return when what was asked has been answered, or could not be."""
        await asyncio.wait_for(self.answers.wait(), 60)
        self.answers.clear()


@asynccontextmanager
async def asking(cluster: Cluster) -> AsyncIterator[Rights]:
    running = asyncio.create_task(cluster.rights.run(answered=cluster.answers.set))
    try:
        yield cluster.rights
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_an_answer_counts_for_some_seconds_and_is_asked_for_without_waiting() -> None:
    cluster = Cluster()
    async with asking(cluster) as rights:
        assert rights.may_run(made_by(ADA)) is None
        assert rights.unknown == {(1, "default")}
        await cluster.settled()
        assert rights.may_run(made_by(ADA)) is True
        assert rights.unknown == set()

        cluster.now += FRESH
        assert rights.may_run(made_by(ADA)) is True
        assert cluster.asked == [("ada", "default")]

        cluster.now += 0.1
        cluster.revoked.add("ada")
        assert rights.may_run(made_by(ADA)) is None
        await cluster.settled()
        assert rights.may_run(made_by(ADA)) is False
        assert cluster.asked == [("ada", "default")] * 2


async def test_each_namespace_and_each_creator_is_asked_about() -> None:
    cluster = Cluster()
    cluster.revoked.add("bob")
    bob = replace(ADA, user="bob")
    async with asking(cluster) as rights:
        rights.may_run(made_by(ADA))
        rights.may_run(made_by(ADA, namespace="other"))
        rights.may_run(made_by(bob, key=2))
        await cluster.settled()
        assert sorted(cluster.asked) == [("ada", "default"), ("ada", "other"), ("bob", "default")]
        assert (rights.may_run(made_by(ADA)), rights.may_run(made_by(bob, key=2))) == (True, False)


async def test_while_nobody_answers_the_last_answer_counts_for_some_minutes() -> None:
    cluster = Cluster()
    async with asking(cluster) as rights:
        rights.may_run(made_by(ADA))
        await cluster.settled()
        cluster.away = True
        cluster.now += FRESH + 1
        assert rights.may_run(made_by(ADA)) is None
        await cluster.settled()
        assert rights.may_run(made_by(ADA)) is True
        assert rights.unknown == set()
        assert "does not answer" in cluster.readiness.reasons[module.NEED]

        cluster.now += LAST_WORD
        assert rights.may_run(made_by(ADA)) is None
        assert rights.unknown == {(1, "default")}

        cluster.away = False
        cluster.answers.clear()
        await cluster.settled()
        assert rights.may_run(made_by(ADA)) is True
        assert cluster.readiness.ready


async def test_a_creator_that_was_denied_stays_denied_while_nobody_answers() -> None:
    cluster = Cluster()
    cluster.revoked.add("ada")
    async with asking(cluster) as rights:
        rights.may_run(made_by(ADA))
        await cluster.settled()
        cluster.away = True
        cluster.now += FRESH + 1
        rights.may_run(made_by(ADA))
        await cluster.settled()
        assert rights.may_run(made_by(ADA)) is False


async def test_a_creator_about_whom_nobody_answers_does_not_hold_up_the_others() -> None:
    cluster = Cluster()
    cluster.unclear.add("ada")
    async with asking(cluster) as rights:
        rights.may_run(made_by(ADA))
        await cluster.settled()
        assert rights.may_run(made_by(ADA)) is None
        assert rights.may_run(made_by(replace(ADA, user="bob"), key=2)) is None
        while rights.may_run(made_by(replace(ADA, user="bob"), key=2)) is None:
            await cluster.settled()
        assert rights.unknown == {(1, "default")}


def may(authentication: Collection[Authority], creator: Caller | None, file: AccessFile | None = None) -> bool | None:
    return Rights(authentication, file=file).may_run(made_by(creator))


def test_tasks_without_a_creator_need_no_rights() -> None:
    assert may([Authority.KUBERNETES], None) is True


def test_without_identities_nobody_is_checked() -> None:
    assert may([Authority.LOCAL], ADA) is True


def test_an_identity_counts_only_while_its_authority_does(tmp_path: Path) -> None:
    file = access_file(tmp_path)
    agent = Caller(Authority.TOKENS, "agent")
    assert may([Authority.TOKENS], agent, file) is True
    assert may([Authority.OIDC], agent, file) is False
    assert may([Authority.TOKENS], replace(agent, authority=Authority.LOCAL), file) is False
    assert may([Authority.TOKENS], ADA, file) is False


def test_identities_of_the_access_file_are_judged_at_once_and_by_what_it_says_now(tmp_path: Path) -> None:
    file = access_file(tmp_path)
    rights = Rights([Authority.TOKENS], file=file)
    agent, viewer = Caller(Authority.TOKENS, "agent"), Caller(Authority.TOKENS, "viewer")
    assert rights.may_run(made_by(agent)) is True
    assert rights.may_run(made_by(agent, namespace="other")) is False
    assert rights.may_run(made_by(viewer)) is False
    assert rights.may_run(made_by(Caller(Authority.TOKENS, "unknown"))) is False

    (tmp_path / "access.yaml").write_text("tokens: []\n")
    file.look()
    assert rights.may_run(made_by(agent)) is False


def access_file(folder: Path) -> AccessFile:
    """Return an access file with an editor and a viewer of the namespace `default`."""
    path = folder / "access.yaml"
    path.write_text(
        "tokens:\n"
        f"- {{name: agent, sha256: {'a' * 64}, bindings: [{{role: editor, namespaces: [default]}}]}}\n"
        f"- {{name: viewer, sha256: {'b' * 64}, bindings: [{{role: viewer, namespaces: [default]}}]}}\n"
    )
    return AccessFile.open(path)


def test_a_directory_has_no_api_server_to_ask(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="kubernetes needs ORDINAUT_SOURCE=kubernetes"):
        OperatorSettings(
            database_url=SecretStr("postgresql://localhost/x"),
            source="directory",
            directory=tmp_path,
            authentication=(Authority.KUBERNETES,),
        )
