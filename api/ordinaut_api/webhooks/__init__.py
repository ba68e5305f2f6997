"""
Webhooks in: from a delivery that somebody signed to an event.

The route in ``routes.hooks`` declares ``delivering.signed``, which asks ``doors`` (a hook's keys, from ``secrets``, and
its limit) and one of ``styles`` whether the signature is good, and hands the delivery to ``accepting``.
"""
