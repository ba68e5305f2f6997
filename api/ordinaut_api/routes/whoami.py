"""Who the caller is, for whoever holds a token and wonders what it is good for."""

from typing import Annotated

from fastapi import APIRouter

from ordinaut import shapes
from ordinaut.access.caller import Caller
from ordinaut_api.identity.guard import known

router = APIRouter(prefix="/v1", tags=["identity"])


@router.get("/whoami", operation_id="whoAmI", response_model_exclude_none=True)
async def whoami(caller: Annotated[Caller, known()]) -> shapes.WhoAmI:
    """Tell who the caller is."""
    return shapes.WhoAmI(id=caller.id, authority=caller.authority, user=caller.user, groups=list(caller.groups))
