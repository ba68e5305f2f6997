"""The quota: how many objects a namespace may have, and how many there are."""

from typing import Annotated

from fastapi import APIRouter, Response

from ordinaut import shapes
from ordinaut.store import quotas
from ordinaut_api import answers
from ordinaut_api.identity.guard import Call, guard

router = APIRouter(prefix="/v1/namespaces/{namespace}/quota", tags=["quota"])


@router.get("", operation_id="getQuota", summary="Get limits and use", response_model=shapes.Quota)
async def get(call: Annotated[Call, guard("get", "quotas")]) -> Response:
    """How many objects made through the API a namespace may have, and how many it has; resources do not count."""
    async with call.backend.connection() as connection:
        usage = await quotas.usage(connection, namespace=call.namespace)
    used = shapes.Counts(tasks=usage.tasks, pipelines=usage.pipelines, tools=usage.tools, hooks=usage.hooks)
    return answers.answer(shapes.Quota(limits=call.backend.limits, used=used))
