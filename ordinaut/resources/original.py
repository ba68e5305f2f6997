"""
Reads steps in the form of Ordinaut's first releases, so that pipelines written for them run unchanged.

There, a pipeline was a JSON list of ``{id, uses, with, save_as, if, timeout_seconds, max_retries}``. ``ordinaut apply``
and REST call `from_original` before `manifest.parse`; the CRD knows only the present form.
"""

from collections.abc import Mapping
from typing import Any, Final

_MOST_SECONDS: Final = 10**12
"""More than any duration may have; a thousand times as much as the largest float is none any more."""


def from_original(document: object) -> object:
    """Return the manifest with its steps in the present form; whatever is not a step in the old form stays as it is."""
    spec = document.get("spec") if isinstance(document, Mapping) else None
    if not isinstance(document, Mapping) or not isinstance(spec, Mapping):
        return document
    present = dict(spec)
    if isinstance(spec.get("pipeline"), list):
        present["pipeline"] = {"steps": _steps(spec["pipeline"])}
    elif isinstance(spec.get("pipeline"), Mapping):
        present["pipeline"] = _with_steps(spec["pipeline"])
    return {**document, "spec": _with_steps(present)}


def _with_steps(pipeline: Mapping[str, Any]) -> dict[str, Any]:
    steps = pipeline.get("steps")
    return {**pipeline, "steps": _steps(steps)} if isinstance(steps, list) else dict(pipeline)


def _steps(steps: list[Any]) -> list[Any]:
    return [_step(step, index) if isinstance(step, Mapping) else step for index, step in enumerate(steps)]


def _step(step: Mapping[str, Any], index: int) -> dict[str, Any]:
    """Return one step in the present form; ids were optional and counted from 0."""
    present = {"id": f"step_{index}", **step}
    _move(present, "save_as", "saveAs", present.get("save_as"))
    for old in ("timeout_seconds", "timeoutSeconds"):
        _move(present, old, "timeout", _seconds(present.get(old)))
    for old in ("max_retries", "maxRetries"):
        _move(present, old, "retryStrategy", {"limit": present.get(old)})
    return present


def _move(step: dict[str, Any], old: str, new: str, value: object) -> None:
    """Rename a field; one that is given in both forms keeps its old name, so that it is refused, not lost."""
    if old in step and new not in step:
        del step[old]
        step[new] = value


def _seconds(value: object) -> object:
    """Return a number of seconds as a duration, to the millisecond; anything else stays for the model to refuse."""
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > _MOST_SECONDS:
        return value
    milliseconds = round(value * 1000)
    return f"{milliseconds}ms" if milliseconds % 1000 else f"{milliseconds // 1000}s"
