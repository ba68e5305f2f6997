"""Pipelines: the steps that runs execute."""

from ordinaut_api import objects, schemas
from ordinaut_api.routes.declared import declared_router

router = declared_router("Pipeline", view=schemas.Pipeline, show=objects.pipeline)
