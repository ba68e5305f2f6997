"""
Finding a step's tool at the moment when the step starts.

A Tool is read from the database each time, so that an edited one counts from the next step on; what is made of it
(schemas, client) is kept by content.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import httpx2
import orjson

from ordinaut.engine.plan import is_builtin
from ordinaut.engine.schema import compile_schema
from ordinaut.errors import Permanent
from ordinaut.resources.duration import parse_duration
from ordinaut.resources.tool import ToolSpec
from ordinaut.store import declared
from ordinaut.store.pool import Pool
from ordinaut_worker import patience
from ordinaut_worker.tools import Tool
from ordinaut_worker.tools.http import HttpTool
from ordinaut_worker.tools.std import BUILT_IN

MAX_TOOLS = 1024
"""Compiled tools kept."""


class DeclaredTools:
    """The tools of the database and the built-in ones."""

    def __init__(self, pool: Pool, http: httpx2.AsyncClient, *, max_answer_bytes: int) -> None:
        self._pool = pool
        self._http = http
        self._max_answer_bytes = max_answer_bytes
        self._compiled: OrderedDict[bytes, Tool] = OrderedDict()

    def at_hand(self, name: str) -> Tool | None:
        """Return a tool that needs neither a look-up nor any waiting, None for all others."""
        tool = BUILT_IN.get(name)
        return tool if tool is not None and tool.immediate else None

    async def get(self, *, namespace: str, name: str) -> Tool:
        """Return a tool as it is now; ``Permanent`` when it is missing or not valid."""
        if is_builtin(name):
            if name not in BUILT_IN:
                raise Permanent(f"there is no built-in tool {name}; there are {', '.join(sorted(BUILT_IN))}")
            return BUILT_IN[name]
        found = await patience.read(
            self._pool, lambda connection: declared.tool(connection, namespace=namespace, name=name)
        )
        if found is None:
            raise Permanent(f"there is no Tool {namespace}/{name}; apply it")
        spec, invalid = found
        if invalid is not None:
            raise Permanent(f"Tool {namespace}/{name} is not valid: {invalid}")
        return self._compile(spec)

    def _compile(self, stored: Mapping[str, Any]) -> Tool:
        digest = hashlib.sha256(orjson.dumps(stored, option=orjson.OPT_SORT_KEYS)).digest()
        if (tool := self._compiled.get(digest)) is None:
            tool = self._compiled[digest] = self._made(ToolSpec.model_validate(stored), digest)
        self._compiled.move_to_end(digest)
        if len(self._compiled) > MAX_TOOLS:
            self._compiled.popitem(last=False)
        return tool

    def _made(self, spec: ToolSpec, digest: bytes) -> Tool:
        if spec.http is None:
            raise Permanent("tools other than http are not supported yet")
        return Tool(
            HttpTool(self._http, spec.http, max_answer_bytes=self._max_answer_bytes),
            input=compile_schema(spec.input_schema, field="inputSchema") if spec.input_schema else None,
            output=compile_schema(spec.output_schema, field="outputSchema") if spec.output_schema else None,
            timeout=parse_duration(spec.timeout),
            retry=spec.retry_strategy,
            digest=digest,
        )
