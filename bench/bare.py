"""
``python -m bench.bare DATABASE_URL PORT``: the least that could serve a task, to compare with.

FastAPI on uvicorn with a pool, one query and a response model; no identities, rights, limits, request ids, metrics or
problems.
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI, HTTPException
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool
from pydantic import BaseModel


class Task(BaseModel):
    """A task, as its row has it."""

    namespace: str
    name: str
    uid: str
    generation: int
    spec: dict[str, Any]
    ready: bool
    reason: str
    message: str


def create_app(url: str) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncConnectionPool(url, kwargs={"autocommit": True, "row_factory": dict_row}, max_size=8) as pool:
            app.state.pool = pool
            yield

    app = FastAPI(lifespan=lifespan)

    @app.get("/v1/namespaces/{namespace}/tasks/{name}")
    async def get(namespace: str, name: str) -> Task:
        async with app.state.pool.connection() as connection:
            cursor = await connection.execute(
                "SELECT namespace, name, uid, generation, spec, ready, reason, message FROM ordinaut.task"
                " WHERE namespace = %s AND name = %s AND deleted_at IS NULL",
                [namespace, name],
            )
            row = await cursor.fetchone()
        if row is None:
            raise HTTPException(404)
        return Task(**row)

    return app


if __name__ == "__main__":
    app = create_app(sys.argv[1])
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), loop="uvloop", access_log=False, log_level="error")
