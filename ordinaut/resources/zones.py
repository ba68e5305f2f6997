"""
Where: the names of time zones that a manifest may use.

They come from the pinned ``tzdata`` package, as every time zone rule in Ordinaut does; the system's own copy is often
years old. The models check names against this list, and the Task CRD carries it, so that the API server does too.
"""

from functools import cache
from importlib import resources


@cache
def zone_names() -> frozenset[str]:
    """Return every IANA time zone name, exact in case; ``Factory``, the zone that stands for no zone, is left out."""
    listed = resources.files("tzdata").joinpath("zones").read_text(encoding="ascii").split()
    return frozenset(listed) - {"Factory"}
