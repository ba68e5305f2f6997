"""
What would release a task or a run: each as a sentence, a command and a request.

``why.task`` and ``why.run`` hang them on their causes. Commands are written without the name of the program, which is
``ordinaut`` or ``kubectl ordinaut``; a test holds them against the command line, and the paths against the API.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from ordinaut.shapes import Release


@dataclass(frozen=True, slots=True)
class Releases:
    """What can be done in a namespace."""

    namespace: str

    def ask_run(self, run: UUID) -> Release:
        """Ask on about another run."""
        return self._asked("see why that run is not over", f"why run {run}", "GET", "runs", str(run), "why")

    def ask_ended_run(self, run: UUID) -> Release:
        """Ask how a run came to its end, and what has it go on."""
        return self._asked("see why it ended so, and what to do", f"why run {run}", "GET", "runs", str(run), "why")

    def ask_task(self, task: str) -> Release:
        """Ask on about a task."""
        return self._asked("see what is wrong with the task", f"why {task}", "GET", "tasks", task, "why")

    def resume(self, task: str) -> Release:
        """End a pause and a snooze."""
        return self._asked("resume it", f"resume {task}", "POST", "tasks", task, "resume")

    def run_now(self, task: str) -> Release:
        """Start a run by hand."""
        return self._asked("run it now", f"run {task}", "POST", "tasks", task, "run")

    def retry(self, run: UUID) -> Release:
        """Try a run again that has ended."""
        return self._asked("try it again", f"retry {run}", "POST", "runs", str(run), "retry")

    def unpark(self, run: UUID) -> Release:
        """Let a parked run go on."""
        text = "look for workers that are killed (memory, node), then release it"
        return self._asked(text, f"unpark {run}", "POST", "runs", str(run), "unpark")

    def cancel(self, run: UUID) -> Release:
        """End a run."""
        return self._asked("cancel it", f"cancel {run}", "POST", "runs", str(run), "cancel")

    def follow(self, run: UUID) -> Release:
        """See what a run does."""
        return self._asked("follow it", f"logs -f {run}", "GET", "runs", str(run), "events")

    def steps(self, run: UUID) -> Release:
        """See what a run has done."""
        return self._asked("see its steps", f"logs {run}", "GET", "runs", str(run))

    def fires(self, task: str) -> Release:
        """See what became of a task's nominal times."""
        return self._asked("see all its times", f"fires {task}", "GET", "tasks", task, "fires")

    def event_fires(self, task: str) -> Release:
        """See what became of the events that a task's triggers matched."""
        return self._asked("see all its events", f"fires {task} --events", "GET", "tasks", task, "event-fires")

    def put_tool(self, tool: str) -> Release:
        """Declare a Tool."""
        return self._asked(f"apply a Tool {tool} that is valid", "apply -f TOOL.yaml", "PUT", "tools", tool)

    def put_pipeline(self, pipeline: str) -> Release:
        """Declare a Pipeline."""
        text = f"apply a Pipeline {pipeline} that is valid"
        return self._asked(text, "apply -f PIPELINE.yaml", "PUT", "pipelines", pipeline)

    def edit_task(self, task: str, *, origin: str, change: str, body: dict[str, Any] | None = None) -> Release:
        """Change a task's spec, where it comes from."""
        if origin == "Kubernetes":
            return Release(description=f"{change}: kubectl -n {self.namespace} edit otask {task}")
        if origin == "Directory":
            return Release(description=f"{change} in its manifest")
        method = "PUT" if body is None else "PATCH"
        found = self._asked(f"{change} and apply it", "apply -f TASK.yaml", method, "tasks", task)
        return found.model_copy(update={"body": body})

    def staff(self, queue: str) -> Release:
        """Get workers to a queue."""
        text = f"start a worker that takes it (--queue {queue}), or see which there are"
        return self._asked(text, "workers", "GET", "workers")

    def free_slots(self, queue: str) -> Release:
        """Get more workers to a queue."""
        text = f"start more workers for queue {queue}, or see what keeps these busy"
        return self._asked(text, "workers", "GET", "workers")

    def installation(self, description: str) -> Release:
        """Look at the installation, which is nobody's namespace."""
        return Release(description=description, command="status")

    def _asked(self, description: str, command: str, method: str, *names: str) -> Release:
        path = "/".join([f"/v1/namespaces/{self.namespace}", *names])
        return Release(description=description, command=f"{command} -n {self.namespace}", method=method, path=path)
