"""The states stand in four places: tables and page are held equal to the enums here, the CHECKs in their own test."""

import re
from pathlib import Path

import pytest

from ordinaut.states import (
    ENDED_RUN_PHASES,
    FINAL_RUN_PHASES,
    RUN_TRANSITIONS,
    STEP_TRANSITIONS,
    WHY_EVENT_SKIPPED,
    BackfillPhase,
    EventOutcome,
    EventSkipReason,
    RunPhase,
    SkipReason,
    StepPhase,
    WaitReason,
)

PAGE = (Path(__file__).parents[2] / "docs" / "states.md").read_text()


def diagram(number: int) -> dict[str, set[str]]:
    """Return the transitions that a diagram of the page draws."""
    text = PAGE.split("```mermaid")[number].split("```")[0]
    drawn: dict[str, set[str]] = {}
    for source, target in re.findall(r"(\w+) --> (\w+)", text):
        drawn.setdefault(source, set()).add(target)
        drawn.setdefault(target, set())
    return drawn


@pytest.mark.parametrize(("number", "transitions"), [(1, RUN_TRANSITIONS), (2, STEP_TRANSITIONS)])
def test_diagrams_draw_the_transitions(number: int, transitions: dict[str, frozenset[str]]) -> None:
    assert diagram(number) == {source.value: set(targets) for source, targets in transitions.items()}


def test_every_phase_has_transitions() -> None:
    assert set(RUN_TRANSITIONS) == set(RunPhase)
    assert set(STEP_TRANSITIONS) == set(StepPhase)


def test_the_page_explains_every_run_phase_and_reason() -> None:
    rows = set(re.findall(r"^\| (\w+) \|", PAGE, flags=re.MULTILINE))

    assert rows >= {*RunPhase, *WaitReason, *SkipReason, *BackfillPhase, *EventOutcome, *EventSkipReason}


def test_people_are_told_something_of_every_reason() -> None:
    assert set(WHY_EVENT_SKIPPED) == set(EventSkipReason)


def test_final_phases_are_those_the_promise_names() -> None:
    assert {"Succeeded", "Failed", "Cancelled", "TimedOut"} == FINAL_RUN_PHASES


def test_a_run_that_nobody_waits_for_any_more_is_final_or_parked() -> None:
    assert FINAL_RUN_PHASES | {"Parked"} == ENDED_RUN_PHASES
    assert RUN_TRANSITIONS[RunPhase.PARKED] == {"Pending", "Waiting", "Cancelled"}
