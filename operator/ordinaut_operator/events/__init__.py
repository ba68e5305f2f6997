"""
Events in the operator: from the outbox to the log, to what they trigger, and to Redis.

:mod:`dispatch` moves events to the log and finds out which triggers they match; :mod:`react` and :mod:`gather` make
runs of them, by the pure decisions of :mod:`bundles`, :mod:`hops` and :mod:`judgement`; :mod:`carrying` writes it all
down and :mod:`telling` says so; :mod:`relay` appends to the stream.
"""
