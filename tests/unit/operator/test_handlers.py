"""kopf only watches: it may write nothing, end nothing and give up nothing."""

import itertools
from typing import Any

import kopf
import pytest

from ordinaut_operator.handlers import kopf_settings, registry_for
from ordinaut_operator.kube import PLURALS


async def no_session() -> kopf.AiohttpSession:
    raise AssertionError("not asked for")


def test_each_kind_has_an_event_handler_and_nothing_else_is_handled() -> None:
    registry = registry_for(lambda *_: None, log_in=no_session)
    watched = {handler.selector.any_name for handler in registry._watching.get_all_handlers() if handler.selector}
    assert watched == set(PLURALS.values())
    assert not registry._changing.get_all_handlers()
    assert not registry._spawning.get_all_handlers()
    assert not registry._indexing.get_all_handlers()
    assert not registry._webhooks.get_all_handlers()


async def test_events_go_to_the_sink_as_they_are() -> None:
    seen: list[Any] = []
    registry = registry_for(lambda event, document: seen.append((event, document)), log_in=no_session)
    handler = registry._watching.get_all_handlers()[0]
    await handler.fn(event={"type": None, "object": {"kind": "Task"}}, logger=None)  # type: ignore[call-arg,misc]
    await handler.fn(event={"type": "DELETED", "object": {"kind": "Task"}}, logger=None)  # type: ignore[call-arg,misc]
    assert seen == [(None, {"kind": "Task"}), ("DELETED", {"kind": "Task"})]


@pytest.fixture
def settings() -> kopf.OperatorSettings:
    return kopf_settings()


def test_kopf_stores_nothing_in_objects(settings: kopf.OperatorSettings) -> None:
    patch: Any = {}
    body: Any = {"metadata": {}, "spec": {"a": 1}}
    storage = settings.persistence.progress_storage
    storage.store(key="k", record={}, body=body, patch=patch)  # type: ignore[arg-type,typeddict-item]
    storage.purge(key="k", body=body, patch=patch)  # type: ignore[arg-type]
    storage.touch(body=body, patch=patch, value="now")
    storage.flush()
    difference = settings.persistence.diffbase_storage
    difference.store(body=body, patch=patch, essence=difference.build(body=body))
    assert patch == {}
    assert storage.fetch(key="k", body=body) is None  # type: ignore[arg-type]
    assert difference.fetch(body=body) is None
    assert storage.clear(essence=body) == body
    assert not settings.posting.enabled


def test_kopf_never_gives_up_a_request_and_never_kills_the_process(settings: kopf.OperatorSettings) -> None:
    pauses = settings.networking.error_backoffs
    for _request in range(2):
        assert list(itertools.islice(pauses, 100))[:4] == [0.5, 1, 2, 3]  # type: ignore[call-overload]
    assert settings.process.ultimate_exiting_timeout is None


def test_requests_of_kopf_have_time_limits(settings: kopf.OperatorSettings) -> None:
    assert settings.networking.request_timeout == 30
    assert settings.networking.connect_timeout == settings.watching.connect_timeout == 5
    assert settings.watching.inactivity_timeout == 70
