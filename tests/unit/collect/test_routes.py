"""The table of routes: each has its method in the collector, and paths are found as clients write them."""

import pytest

from appliance.collect.collector import Collector
from appliance.collect.routes import ROUTES, find


def test_every_route_has_somebody_who_answers() -> None:
    kinds = {route.kind for route in ROUTES.values()} | {"settings"}
    assert kinds == {name.removeprefix("_on_") for name in vars(Collector) if name.startswith("_on_")}


@pytest.mark.parametrize(
    ("path", "kind", "type_"),
    [
        ("/v1/track", "event", "track"),
        ("/v1/t", "event", "track"),
        ("/v1/b", "batch", ""),
        ("/v1/batch/", "batch", ""),
        ("//v1//batch", "batch", ""),
        ("/", "health", ""),
        ("/sourceConfig/", "source_config", ""),
        ("/sourceConfig", "source_config", ""),
        ("/pixel/v1/page", "pixel", "page"),
    ],
)
def test_paths(path: str, kind: str, type_: str) -> None:
    route = find(path)
    assert route is not None
    assert (route.kind, route.type) == (kind, type_)


def test_the_write_key_in_the_path() -> None:
    route = find("/v1/projects/a%20b/settings")
    assert route is not None
    assert (route.kind, route.argument) == ("settings", "a b")


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/v1",
        "/v1/TRACK",
        "/v1/track/x",
        "/v1/projects/settings",
        "/v1/projects/a/b/settings",
        "/v2/batch",
        "/pixel/v1/identify",
    ],
)
def test_no_such_path(path: str) -> None:
    assert find(path) is None or path == ""
