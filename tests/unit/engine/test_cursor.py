"""What comes next in a run."""

from ordinaut.engine.cursor import Committed, Execute, Finish, next_move, results
from ordinaut.engine.plan import Plan, compile_pipeline
from ordinaut.resources.pipeline import PipelineSpec
from ordinaut.states import RunPhase, StepPhase


def plan(*steps: dict[str, object]) -> Plan:
    return compile_pipeline(PipelineSpec.model_validate({"steps": list(steps)}), field="spec")


TWO = plan({"id": "a", "uses": "std.log", "saveAs": "first"}, {"id": "b", "uses": "std.log"})


def committed(*pairs: tuple[int, StepPhase], attempt: int = 1) -> dict[int, Committed]:
    return {seq: Committed(seq, phase, attempt, output=f"out{seq}", error="broken") for seq, phase in pairs}


def test_starts_at_the_first_step() -> None:
    assert next_move(TWO, {}) == Execute(TWO.steps[0], attempt=1)


def test_resumes_at_the_first_step_without_a_result() -> None:
    assert next_move(TWO, committed((0, StepPhase.SUCCEEDED))) == Execute(TWO.steps[1], attempt=1)


def test_counts_the_tries_of_a_step_that_waited() -> None:
    assert next_move(TWO, committed((0, StepPhase.WAITING), attempt=2)) == Execute(TWO.steps[0], attempt=3)


def test_ends_when_all_steps_have_results() -> None:
    move = next_move(TWO, committed((0, StepPhase.SUCCEEDED), (1, StepPhase.SKIPPED)))

    assert move == Finish(RunPhase.SUCCEEDED)


def test_a_failed_step_fails_the_run_and_is_named() -> None:
    move = next_move(TWO, committed((0, StepPhase.FAILED)))

    assert move == Finish(RunPhase.FAILED, reason="StepFailed", error="step a: broken")


def test_on_error_continue_goes_on() -> None:
    lenient = plan({"id": "a", "uses": "std.fail", "onError": "Continue"}, {"id": "b", "uses": "std.log"})

    assert next_move(lenient, committed((0, StepPhase.TIMED_OUT))) == Execute(lenient.steps[1], attempt=1)


def test_only_successes_have_results_under_their_saved_names() -> None:
    found = results(TWO, committed((0, StepPhase.SUCCEEDED), (1, StepPhase.FAILED)).values())

    assert found == {"first": "out0"}
