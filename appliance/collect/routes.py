"""The table of routes.

Source: contract/http.md, Routes.
"""

import re
from typing import NamedTuple
from urllib.parse import unquote

from appliance.collect.parse import TYPES


class Route(NamedTuple):
    """What stands at a path."""

    kind: str
    """Names the collector's method."""
    methods: tuple[str, ...] = ("POST",)
    type: str = ""
    """Event type that the route decides; "" where events say their own."""
    key_in_query: bool = False
    """The write key is expected in the query, and words about a missing one say so."""
    argument: str = ""
    """What stands in the path's gap."""


_GET = ("GET", "HEAD")
_SHORT = {"i": "identify", "t": "track", "p": "page", "s": "screen", "g": "group", "a": "alias"}

ROUTES: dict[str, Route] = {
    **{f"/v1/{type}": Route("event", type=type) for type in TYPES},
    **{f"/v1/{letter}": Route("event", type=type) for letter, type in _SHORT.items()},
    **{f"/v1/{name}": Route("batch") for name in ("batch", "import", "b")},
    "/v1/m": Route("discard"),
    "/beacon/v1/batch": Route("batch", key_in_query=True),
    "/b/v1/batch": Route("batch", key_in_query=True),
    **{f"/pixel/v1/{type}": Route("pixel", _GET, type, key_in_query=True) for type in ("track", "page")},
    "/v1/webhook": Route("webhook", (*_GET, "POST"), "track", key_in_query=True),
    "/sourceConfig": Route("source_config", _GET),
    "/": Route("health", _GET),
    "/health": Route("health", _GET),
    "/ready": Route("ready", _GET),
    "/version": Route("version", _GET),
    "/robots.txt": Route("robots", _GET),
}


def find(path: str) -> Route | None:
    """The route of a path; None where there is none.

    Slashes too many are forgiven: data plane URLs are often configured with one at their end.
    """
    route = ROUTES.get(path)
    if route is not None:
        return route
    path = re.sub(r"//+", "/", path).rstrip("/")
    if path.startswith("/v1/projects/") and path.endswith("/settings") and path.count("/") == 4:
        return Route("settings", _GET, argument=unquote(path.split("/")[3]))
    return ROUTES.get(path)
