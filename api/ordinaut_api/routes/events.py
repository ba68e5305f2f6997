"""Events: telling the others what happened."""

from typing import Annotated

from fastapi import APIRouter, Response

from ordinaut import shapes
from ordinaut.declaration import publishing
from ordinaut.store.pool import Connection
from ordinaut_api import publication
from ordinaut_api.change import Answer, perform
from ordinaut_api.identity.guard import Call, guard

router = APIRouter(prefix="/v1/namespaces/{namespace}/events", tags=["events"])


@router.post(
    "",
    operation_id="publishEvents",
    summary="Publish one event or several",
    status_code=202,
    response_model=shapes.EventsAccepted,
)
async def publish(call: Annotated[Call, guard("create", "events")]) -> Response:
    """
    Accepted means on disk: the events reach every reader, also if everything is restarted now.

    Takes CloudEvents 1.0 as its HTTP binding has them, and a shorter form in plain JSON. In the binary mode of that
    binding, which can't be described here, the body is the data, of any type, and the attributes are headers: `ce-id`,
    `ce-source`, `ce-type`, `ce-specversion`, and what else there is.
    """
    sent = await publication.read(call.request)

    async def work(connection: Connection) -> Answer:
        with publication.placed(sent):
            ids = await publishing.publish(connection, namespace=call.namespace, events=sent.events, by=call.caller)
        return Answer(202, shapes.EventsAccepted(ids=ids))

    return await perform(call, work, object_="events", body=sent.content)
