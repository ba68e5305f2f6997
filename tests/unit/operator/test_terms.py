"""What a spec says about firing: read once, and nothing that it says is left out when tasks are claimed."""

from datetime import timedelta

import orjson
import pytest

from ordinaut.resources.task import TaskSpec
from ordinaut.schedule import CatchUp, CatchUpPolicy
from ordinaut.store.clock import NOT_OF_TIME
from ordinaut_operator.terms import Terms, read_terms

HOURLY = [{"cron": "0 * * * *"}]


def terms(**spec: object) -> Terms:
    """Return what such a spec says."""
    return read_terms(orjson.dumps({"schedules": HOURLY, **spec}).decode())


def test_what_is_not_said_has_its_default() -> None:
    model = TaskSpec.model_validate({"schedules": HOURLY, "pipelineRef": {"name": "p"}})

    assert terms() == Terms(HOURLY, False, CatchUp(), None, model.concurrency_policy, model.priority, None)


def test_everything_that_is_said_counts() -> None:
    said = terms(
        catchUp={"policy": "All", "max": 7},
        startingDeadlineSeconds=90,
        concurrencyPolicy="Queue",
        priority=9,
        jitter="5m",
    )

    caught_up, deadline = CatchUp(CatchUpPolicy.ALL, 7), timedelta(seconds=90)
    assert said == Terms(HOURLY, False, caught_up, deadline, "Queue", 9, timedelta(minutes=5))


@pytest.mark.parametrize(
    ("schedule", "anchored"),
    [
        ({"interval": "5m"}, True),
        ({"rrule": "FREQ=DAILY"}, True),
        ({"cron": "@daily"}, False),
        ({"at": "2026-03-01T09:00:00"}, False),
    ],
)
def test_only_some_schedules_depend_on_when_a_task_was_first_seen(schedule: dict[str, str], anchored: bool) -> None:
    assert terms(schedules=[*HOURLY, schedule]).is_anchored is anchored


def test_what_is_left_out_of_a_claimed_spec_says_nothing_about_firing() -> None:
    fields = {field.alias or name for name, field in TaskSpec.model_fields.items()}
    read = {"schedules", "catchUp", "startingDeadlineSeconds", "concurrencyPolicy", "priority", "jitter"}

    assert set(NOT_OF_TIME) | read == fields
    assert not set(NOT_OF_TIME) & read
