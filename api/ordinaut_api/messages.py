"""
Messages of a stream of Server-Sent Events, as the HTML standard writes them. Pure.

Whoever follows something is told by these; ``streams`` sends them. The data is JSON, which has no line breaks.
"""


def message(event: str, data: bytes, *, at: str | None = None, retry: int | None = None) -> bytes:
    """Return a message; ``at`` is what a reader comes back with, ``retry`` after how many milliseconds."""
    ident = f"id: {at}\n" if at is not None else ""
    again = f"retry: {retry}\n" if retry is not None else ""
    return b"".join((f"event: {event}\ndata: ".encode(), data, f"\n{ident}{again}\n".encode()))


def comment(text: str) -> bytes:
    """Return a message that says nothing to a program, and keeps the connection alive."""
    return f": {text}\n\n".encode()


def reached(at: str) -> bytes:
    """Return a message that no reader is shown: it comes back with this from now on."""
    return f"id: {at}\n\n".encode()
