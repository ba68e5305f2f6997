"""
Why a task or a run is not running: one answer for REST, the Python client and the command line.

``ordinaut.store.why`` reads the facts, at one moment; :func:`of_task` and :func:`of_run` judge them, purely; the api
answers with what they return, and everybody else passes it on. The causes are those of ``ordinaut.causes``, the
decisive one first.
"""

from ordinaut.why.run import of_run
from ordinaut.why.task import of_task

__all__ = ["of_run", "of_task"]
