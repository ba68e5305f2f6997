"""What is checked of expressions is noticed when it is wrong."""

import pytest

from tests.monitoring.queries import grouped_by, mistakes

THERE = {"ordinaut_runs_total": {"phase": {"Failed", "Parked"}, "task_namespace": {"a"}}, "ordinaut_ready": {}}


@pytest.mark.parametrize(
    ("expression", "wrong"),
    [
        ('sum by (namespace, task_namespace) (rate(ordinaut_runs_total{phase=~"Failed|Parked"}[5m])) > 0', ""),
        ("ordinaut_ready == 0", ""),
        ('ordinaut_runs_total{job=~".*",phase!="Sleeping"}', ""),
        ("rate(ordinaut_run_total[5m])", "nobody shows ordinaut_run_total"),
        ('ordinaut_runs_total{phase="Failde"}', "ordinaut_runs_total has no phase ['Failde']"),
        ('ordinaut_ready{phase="Failed"}', "ordinaut_ready has no label phase"),
        ("sum by (task_namespace) (ordinaut_ready)", "nothing has a label task_namespace"),
        ("vector(1)", "no metric in vector(1)"),
    ],
)
def test_what_is_not_there_is_noticed(expression: str, wrong: str) -> None:
    found = list(mistakes(expression, THERE))

    assert len(found) == bool(wrong)
    assert all(one.startswith(wrong) for one in found)


def test_every_kind_of_grouping_is_read() -> None:
    assert grouped_by("a * on (x) group_left (y, z) sum by (b) (c)") == {"x", "y", "z", "b"}
