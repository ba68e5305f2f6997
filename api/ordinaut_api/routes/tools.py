"""Tools: what steps can call."""

from ordinaut_api import objects, schemas
from ordinaut_api.routes.declared import declared_router

router = declared_router("Tool", view=schemas.Tool, show=objects.tool)
