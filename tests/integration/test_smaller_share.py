"""A restart may leave a destination less room than it had: more destinations, or a smaller budget. It goes on all the same."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.test_disk_full import Filler, returns_and_drains, started_without
from tests.support.appliance import Appliance, webhook
from tests.support.sink import Sink
from tests.support.waiting import until

OTHERS = 19


@pytest.mark.parametrize("smaller", ["more destinations", "smaller budget"])
def test_what_was_taken_with_more_room_is_delivered_after_a_restart_with_less(
    make_appliance: Callable[..., Appliance],
    make_sink: Callable[..., Sink],
    seed: int,
    figure: Callable[[str], None],
    smaller: str,
) -> None:
    sink = make_sink()
    appliance = started_without(sink, make_appliance)
    filler = Filler(appliance, seed, people=500)
    filler.until(503)
    appliance.kill()
    if smaller == "more destinations":
        appliance.config["sources"]["quiet"] = {"write_key": "wk_quiet"}
        appliance.config["destinations"] |= {f"idle{n}": webhook(sink.url, sources=["quiet"]) for n in range(OTHERS)}
    else:
        appliance.config["wal"]["disk_bytes_max"] = "12 MiB"
    appliance.start()
    until(lambda: hook(appliance)["failed_total"] >= 20, "hardly anybody is tried")
    assert filler.send().status == 503
    returns_and_drains(appliance, sink, filler, figure)


def hook(appliance: Appliance) -> dict[str, Any]:
    found: dict[str, Any] = appliance.admin("/v1/overview")["destinations"][0]
    return found
