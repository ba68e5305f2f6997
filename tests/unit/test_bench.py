"""The benchmarks' own sums are right, and what is written down about goals and results is one thing everywhere."""

import json
import platform
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bench import contest, depth, environment, hotpath, results
from bench.__main__ import BENCHMARKS, main
from bench.goals import GOALS
from bench.report import Options, Report, quantile, ratio

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "performance.md").read_text()
DONE = {"calls": 4, "distinct": 4, "sum": 6, "left": 0}
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def test_goals_are_of_benchmarks_that_there_are() -> None:
    assert {goal.benchmark for goal in GOALS} <= set(BENCHMARKS)
    assert len({goal.key for goal in GOALS}) == len(GOALS)


def test_page_tells_every_goal_and_no_other() -> None:
    told = re.findall(r"^\| (.+?) \| ([<>]= .+?) \|$", PAGE, flags=re.MULTILINE)

    assert told == [(goal.name, goal.target) for goal in GOALS]


def test_page_tells_every_benchmark() -> None:
    assert [name for name in BENCHMARKS if f"`{name}`" not in PAGE] == []


def test_results_hold_every_goal_and_judge_it_as_it_is() -> None:
    document = json.loads(results.JSON.read_text())

    assert [(goal["name"], goal["target"]) for goal in document["goals"]] == [(one.name, one.target) for one in GOALS]
    for found, goal in zip(document["goals"], GOALS, strict=True):
        assert found["met"] == (None if found["value"] is None else goal.met(found["value"])), goal.name


def test_results_say_of_what_each_figure_is_and_when_it_was_taken() -> None:
    document = json.loads(results.JSON.read_text())

    assert {row["benchmark"] for row in document["rows"]} == set(document["benchmarks"]) <= set(BENCHMARKS)
    assert all(set(row) == {"benchmark", "name", "figure"} for row in document["rows"])
    needed = {"date", "machine", "versions", "command", "scale", "rounds"}
    assert all(needed <= set(taken) for taken in document["benchmarks"].values())


def test_results_page_is_written_from_the_same_document() -> None:
    assert results.MARKDOWN.read_text() == "\n".join(results.markdown(results.read())) + "\n"


def test_results_name_no_machine_of_ours() -> None:
    text = json.dumps(results.merged({}, "queue", Report("some", "python -m bench queue", []), Options()))

    assert platform.node() not in text
    assert str(ROOT) not in text


def test_new_figures_replace_those_of_their_own_benchmark_only() -> None:
    old = results.merged({}, "queue", Report("q", "python -m bench queue", [("a", "1")], {"queue.wal": 500}), Options())
    old = results.merged(old, "steps", Report("s", "python -m bench steps", [("b", "2")], {"steps.rate": 1}), Options())

    new = results.merged(
        old, "queue", Report("q", "python -m bench queue", [("c", "3")], {"queue.wal": 600}), Options()
    )

    assert [(row["benchmark"], row["name"]) for row in new["rows"]] == [("steps", "b"), ("queue", "c")]
    judged = {goal["key"]: (goal["value"], goal["met"]) for goal in new["goals"]}
    assert judged["queue.wal"] == (600, False)
    assert judged["steps.rate"] == (1, False)
    assert judged["queue.client"] == (None, None)


@pytest.mark.parametrize("wrong", [{"calls": 5}, {"distinct": 3, "calls": 3}, {"sum": 7}, {"left": 1}])
def test_jobs_lost_doubled_or_left_are_noticed(wrong: dict[str, int]) -> None:
    contest.check(contest.OURS, DONE, count=4)

    with pytest.raises(contest.Broken, match="exactly once"):
        contest.check(contest.OURS, DONE | wrong, count=4)


def test_packages_of_node_are_pinned_by_content_and_by_no_registry() -> None:
    lock = json.loads((environment.PEERS / "package-lock.json").read_text())
    wanted = json.loads((environment.PEERS / "package.json").read_text())["dependencies"]
    installed = {name: package for name, package in lock["packages"].items() if name}

    assert all("integrity" in package and "resolved" not in package for package in installed.values())
    assert {name: installed[f"node_modules/{name}"]["version"] for name in wanted} == wanted


def test_a_queue_that_can_not_be_installed_is_left_out_and_named() -> None:
    def missing() -> list[str | Path]:
        raise environment.Missing("npm failed: no network")

    there, left_out = contest.installed([contest.RAW, replace(contest.GRAPHILE, program=missing)])

    assert there == [contest.RAW]
    assert left_out == [("graphile-worker", "left out: npm failed: no network")]


def test_rates_of_parts_begin_where_the_one_before_ends() -> None:
    ends = [(NOON + timedelta(seconds=second), 10) for second in (1, 2, 4, 6, 7)]

    assert depth.part_rates(ends, began=NOON, part=20) == [10, 5]


def test_rates_of_thirds_leave_out_what_ended_later() -> None:
    ends = [(NOON + timedelta(seconds=second), 10) for second in (0, 1, 2, 4, 5, 7, 9, 30)]

    assert depth.thirds(ends, began=NOON, seconds=9) == [10, 20 / 3, 10 / 3]


def test_ratios_are_of_rounds_not_of_medians() -> None:
    assert ratio([10, 4, 30], [5, 4, 10]) == 2
    assert quantile([3, 1, 2], 0.5) == 2
    assert quantile([3, 1, 2], 0.99) == 3


def test_profile_adds_up_lines_of_a_function_and_leaves_out_threads_that_wait() -> None:
    stacks = hotpath.read(
        "main (a.py:1);work (lib/site-packages/b.py:2) 3\n"
        "main (a.py:1);work (lib/site-packages/b.py:9) 4\n"
        "main (a.py:7) 1\n"
        "beat (c.py:1);Condition.wait (threading.py:5) 50\n"
    )

    assert stacks == {("main (a.py)", "work (b.py)"): 7, ("main (a.py)",): 1}
    assert list(hotpath.tree(stacks)) == ["100.0%  main (a.py)", " 87.5%    work (b.py)"]


@pytest.mark.parametrize(
    ("typed", "remedy"),
    [
        (["--rounds", "0"], "argument --rounds: 0: write a whole number, 1 or more"),
        (["--scale", "x"], "argument --scale: x: write a number above 0, such as 0.1"),
        (["--minutes=-1"], "argument --minutes: -1: write a number above 0, such as 0.1"),
        (["--sizes", "10,"], "argument --sizes: : write a whole number, 1 or more"),
        (["queu"], "there is no benchmark queu; there are queue, pickup"),
    ],
)
def test_what_is_typed_wrong_is_refused_with_a_remedy(
    typed: list[str], remedy: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["bench", *typed])

    with pytest.raises(SystemExit) as ended:
        main()

    assert ended.value.code == 2
    assert remedy in capsys.readouterr().err
