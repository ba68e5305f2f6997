"""
Making an event of a delivery: in one transaction with the note that it was accepted, so that none becomes two.

The route calls :func:`accept` with what ``delivering`` let in. From here on the event is like all others.
"""

from typing import Final

from fastapi import Response

from ordinaut import shapes
from ordinaut.declaration import publishing
from ordinaut.errors import Invalid, Mistake
from ordinaut.events.attributes import MAX_DATA
from ordinaut.events.envelope import SOURCE_PREFIX, NewEvent
from ordinaut.metrics import WEBHOOKS
from ordinaut.store import hooks
from ordinaut.store.pool import Connection
from ordinaut_api.change import Answer, perform
from ordinaut_api.problems import Problem, ProblemError
from ordinaut_api.webhooks.delivering import Delivery
from ordinaut_api.webhooks.topics import event_type

_TOO_LARGE: Final = (
    f"The delivery has more JSON than an event can hold, {MAX_DATA} bytes: have the sender deliver less, or "
    "put something in between that keeps the rest and delivers its place."
)


async def accept(delivery: Delivery) -> Response:
    """Publish the event of a delivery, unless it was accepted before; whoever repeats one is told that it was."""
    door = delivery.door
    id_ = delivery.about.id or delivery.digest.hex()
    type_ = event_type(door.topic, kind=delivery.about.kind)
    event = NewEvent(type=type_, id=id_, data=delivery.document)
    fresh = False

    async def work(connection: Connection) -> Answer:
        nonlocal fresh
        fresh = await hooks.accept(connection, namespace=door.namespace, hook=door.name, delivery=delivery.digest)
        if fresh:
            await publishing.publish(
                connection,
                namespace=door.namespace,
                events=[event],
                by=delivery.call.caller,
                source=source_of(delivery),
            )
        return Answer(202, shapes.DeliveryAccepted(id=id_, type=type_, repeated=not fresh))

    try:
        answer = await perform(delivery.call, work, object_=f"hooks/{door.name}", body=delivery.raw)
    except Invalid as invalid:
        WEBHOOKS.labels("invalid").inc()
        if any(one.field == "data" and one.mistake is Mistake.TOO_LONG for one in invalid.errors):
            raise ProblemError(Problem(413, _TOO_LARGE)) from None
        raise
    WEBHOOKS.labels("accepted" if fresh else "repeated").inc()
    return answer


def source_of(delivery: Delivery) -> str:
    """Return the source of a hook's events, which nobody else can claim."""
    return f"{SOURCE_PREFIX}namespaces/{delivery.door.namespace}/hooks/{delivery.door.name}"
