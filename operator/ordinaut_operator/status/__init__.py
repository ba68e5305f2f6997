"""
Writes the ``status`` of Tasks, Pipelines, Tools and Hooks: what people see with kubectl.

:mod:`observed` remembers what the statuses say now, :mod:`desired` decides what they should say, :mod:`dirty` when to
look and :mod:`writer` does it, on the replica that leads.
"""
