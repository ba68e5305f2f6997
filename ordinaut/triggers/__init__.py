"""
Triggers: which tasks wait for which events, decided without looking at each of them.

A task's spec names topics, and conditions on the events; :mod:`~ordinaut.triggers.trigger` compiles them, checks them
for ``ordinaut.declaration``, and says what is stored of them. The operator's dispatcher keeps the
:class:`Subscriptions` of each namespace and asks them about every event; what they return goes on to the reactions,
which decide whether it becomes a run. Pure: no database, no clock.
"""

from ordinaut.triggers.subscriptions import Match, Subscriptions
from ordinaut.triggers.trigger import Batch, Trigger, check_triggers, compile_triggers, run_params, stored

__all__ = [
    "Batch",
    "Match",
    "Subscriptions",
    "Trigger",
    "check_triggers",
    "compile_triggers",
    "run_params",
    "stored",
]
