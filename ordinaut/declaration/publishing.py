"""
Publishing events: what callers tell each other, with the same promises as Ordinaut's own events.

The API calls :func:`publish` in the transaction of the request, and so do webhooks and the operator's reader of the
inbox. An event that was accepted stands in the outbox, also while Redis is away; the dispatcher goes on from there.
"""

from collections.abc import Sequence

from ordinaut.access.caller import Caller
from ordinaut.computing import compute
from ordinaut.errors import FieldError, Invalid
from ordinaut.events.attributes import mistakes
from ordinaut.events.envelope import NewEvent, Published
from ordinaut.store import events as outbox
from ordinaut.store.pool import Connection


async def publish(
    connection: Connection, *, namespace: str, events: Sequence[NewEvent], by: Caller, source: str | None = None
) -> list[str]:
    """
    Accept events, as part of a transaction, and return the ids that they are given here, in their order.

    They are also those of the CloudEvents, unless these came with one. The dispatcher is woken when the transaction
    commits.

    Args:
        connection: in a transaction.
        namespace: where they are published.
        events: what their publishers give.
        by: who publishes them.
        source: of those that were given none; by default it names ``by``. Not checked: it is Ordinaut's word.

    Raises:
        Invalid: with every mistake in every event; where there are several, each with its place (``[2].type``).
    """
    if wrong := await compute(_all_mistakes, events):
        raise Invalid(wrong)
    accepted = [Published(event, namespace, by.user, source=source).compact() for event in events]
    return await outbox.append(connection, accepted)


def _all_mistakes(events: Sequence[NewEvent]) -> list[FieldError]:
    return [
        mistake.under(f"[{place}]") if len(events) > 1 else mistake
        for place, event in enumerate(events)
        for mistake in mistakes(event)
    ]
