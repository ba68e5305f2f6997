"""The cases that several cron and RRULE libraries were asked about; see the notes in the file."""

import json
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from ordinaut.errors import Invalid
from ordinaut.schedule import Cron, Gap, RRule, next_fires, parse_cron, parse_rrule, tzdata_version
from tests import oldzones

CASES: list[dict[str, Any]] = json.loads(Path(__file__).with_name("schedule_oracle.json").read_text())
FIRING = [case for case in CASES if not case.get("never")]
MOVED = [case for case in CASES if "expected_utc_with_tzdata_2025b" in case]


def schedule_of(case: dict[str, Any], gap: Gap) -> Cron | RRule:
    if case["kind"] == "cron":
        return parse_cron(case["expr"], time_zone=case["tz"], gap=gap)
    dates = {"exdates": case.get("exdate", ()), "rdates": case.get("rdate", ())}
    return parse_rrule(case["expr"], dtstart=case["dtstart"], time_zone=case["tz"], gap=gap, **dates)


def fires_of(case: dict[str, Any], gap: Gap) -> list[str]:
    after = datetime.fromisoformat(case["after"])
    fires = next_fires(schedule_of(case, gap), after=after, limit=case["count"])
    return [f"{fire:%Y-%m-%dT%H:%M:%SZ}" for fire in fires]


def test_the_oracle_was_made_with_the_time_zone_data_in_force() -> None:
    assert {case["tzdata"] for case in CASES} == {tzdata_version()}


@pytest.mark.parametrize("case", FIRING, ids=lambda case: case["id"])
def test_fires_as_the_oracle_says(case: dict[str, Any]) -> None:
    assert case["expected_utc"] == fires_of(case, Gap.RUN)


@pytest.mark.parametrize("case", FIRING, ids=lambda case: case["id"])
def test_fires_as_the_oracle_says_when_gaps_are_skipped(case: dict[str, Any]) -> None:
    # Where the oracle has no list for Skip, it makes no difference.
    expected = case.get("expected_utc_gap_skip", case["expected_utc"])
    assert expected == fires_of(case, Gap.SKIP)


@pytest.mark.parametrize("case", [case for case in CASES if case.get("never")], ids=lambda case: case["id"])
def test_never_firing_is_refused_and_bounded(case: dict[str, Any]) -> None:
    with pytest.raises(Invalid, match="never fires"):
        schedule_of(case, Gap.RUN)
    after = datetime.fromisoformat(case["after"])
    assert next_fires(Cron(case["expr"], case["tz"]), after=after, limit=case["count"]) == []


def test_fires_as_the_oracle_says_with_older_time_zone_data(tmp_path: Path) -> None:
    """In a process that has another copy of the data: by its rules in the zones that it changes, as ever in others."""
    program = (
        "import json, sys; from ordinaut.schedule import Gap, tzdata_version;"
        "from tests.unit.schedule import test_oracle;"
        "found = {case['id']: test_oracle.fires_of(case, Gap.RUN) for case in test_oracle.FIRING};"
        "json.dump([tzdata_version(), found], sys.stdout)"
    )
    copy = oldzones.older_copy(tmp_path)
    answer = subprocess.run(
        [sys.executable, "-c", program], env=oldzones.environment(copy), capture_output=True, text=True, check=True
    )
    version, found = json.loads(answer.stdout)
    assert version == oldzones.VERSION
    assert len(MOVED) >= 6
    for case in FIRING:
        if case["tz"] not in oldzones.ZONES or case in MOVED:
            assert case.get("expected_utc_with_tzdata_2025b", case["expected_utc"]) == found[case["id"]], case["id"]
