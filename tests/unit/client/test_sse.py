"""The stream of server-sent events, as the HTML standard has it."""

from collections.abc import AsyncIterator

import pytest

from ordinaut.client import NotTheApi
from ordinaut.client.sse import ServerEvent, read_events


async def lines(*texts: str) -> AsyncIterator[str]:
    for text in texts:
        yield text


async def test_events_have_names_ids_and_data() -> None:
    stream = lines(
        ": hello", "", "event: run", "id: 1", 'data: {"a":', "data: 1}", "", "data:2", "", "event: ping", "", "data: 3"
    )
    assert [event async for event in read_events(stream)] == [
        ServerEvent("run", {"a": 1}, "1"),
        ServerEvent("message", 2, "1"),  # the id counts until there is another
    ]  # without data nothing happens, and what is not ended does not count


async def test_what_has_an_id_only_says_where_the_stream_stands() -> None:
    stream = lines("id: 7", "", ": hello", "", "event: end", "retry: 1500", "retry: x", "data: {}", "id: 8", "", "")
    assert [event async for event in read_events(stream)] == [
        ServerEvent("", None, "7"),
        ServerEvent("end", {}, "8", 1.5),
    ]


async def test_what_is_not_json_does_not_come_from_the_api() -> None:
    with pytest.raises(NotTheApi):
        [event async for event in read_events(lines("data: <html>", ""))]
