"""SIGHUP: the file is read again while events flow; nothing is dropped, and a broken file changes nothing."""

import random
import time
from collections.abc import Callable

import pytest

from tests.support.appliance import WRITE_KEY, Appliance, webhook
from tests.support.load import make_event
from tests.support.sink import Plan, Sink
from tests.support.waiting import until
from tests.support.wire import Wire, post

EVENT = {"type": "track", "event": "Viewed", "anonymousId": "p"}


def reload_and_hear(appliance: Appliance) -> None:
    """Reload, and wait until the log says something about it."""
    said = len(appliance.log())
    appliance.reload()
    until(lambda: len(appliance.log()) > said, "the log tells of the re-load")


def answers(appliance: Appliance, write_key: str) -> int:
    return post(appliance.port, "/v1/track", EVENT, write_key=write_key).status


def test_sources_and_destinations_come_and_go_on_a_living_connection(
    make_appliance: Callable[..., Appliance],
    make_sink: Callable[..., Sink],
) -> None:
    first, second = make_sink(), make_sink()
    appliance = make_appliance({"destinations": {"first": webhook(first.url)}})
    appliance.start()
    with Wire(appliance.port, WRITE_KEY) as wire:
        assert wire.post("/v1/track", {**EVENT, "messageId": "before"}).status == 200
        first.wait_accepted({"before"})
        appliance.config["destinations"]["second"] = webhook(second.url)
        appliance.config["sources"]["phone"] = {"write_key": "wk_phone"}
        appliance.write_config()
        appliance.reload()
        until(lambda: answers(appliance, "wk_phone") == 200, "the new source is accepted")
        assert wire.post("/v1/track", {**EVENT, "messageId": "after"}).status == 200
        second.wait_accepted({"after"})
        first.wait_accepted({"after"})
        assert "before" not in {arrival.message_id for arrival in second.arrivals()}, "a new destination starts now"

        del appliance.config["destinations"]["first"], appliance.config["sources"]["phone"]
        appliance.write_config()
        appliance.reload()
        until(lambda: answers(appliance, "wk_phone") == 401, "the removed source is refused")
        assert wire.post("/v1/track", {**EVENT, "messageId": "last"}).status == 200
        second.wait_accepted({"last"})
        time.sleep(0.3)
        assert "last" not in {arrival.message_id for arrival in first.arrivals()}

        appliance.config["destinations"]["first"] = webhook(first.url)
        appliance.write_config()
        appliance.reload()
        first.wait_accepted({"last"})
        counts = [arrival.message_id for arrival in first.arrivals()].count
        assert (counts("before"), counts("after")) == (1, 1), "it resumes by name where it stood"


@pytest.mark.parametrize(
    "broken",
    [
        "[collect\nlisten = 3",
        "[destinations.first]\nplugin = 'webhook'\nurl = 5\n",
        "[destinations.x]\nplugin = 'nosuch'\n",
        "[collect]\nlissten = '127.0.0.1:1'\n",
    ],
    ids=["no toml", "wrong type", "no such plug-in", "unknown key"],
)
def test_a_broken_file_is_refused_and_what_runs_stays(
    make_appliance: Callable[..., Appliance],
    make_sink: Callable[..., Sink],
    broken: str,
) -> None:
    sink = make_sink()
    appliance = make_appliance({"destinations": {"first": webhook(sink.url)}})
    appliance.start()
    with Wire(appliance.port, WRITE_KEY) as wire:
        assert wire.post("/v1/track", {**EVENT, "messageId": "before"}).status == 200
        said = len(appliance.log())
        appliance.config_path.write_text(broken)
        appliance.reload()
        until(
            lambda: str(appliance.config_path) in appliance.log()[said:] or "toml" in appliance.log()[said:],
            "the log names the file",
        )
        assert wire.post("/v1/track", {**EVENT, "messageId": "after"}).status == 200
        sink.wait_accepted({"before", "after"})
        assert appliance.sternpost("check").returncode == 2


def test_reloading_again_and_again_under_load_neither_loses_nor_repeats(
    make_appliance: Callable[..., Appliance],
    make_sink: Callable[..., Sink],
    seed: int,
) -> None:
    sink, draw = make_sink(), random.Random(seed)
    appliance = make_appliance({"destinations": {"hook": webhook(sink.url)}})
    appliance.start()
    sent = set()
    with Wire(appliance.port, WRITE_KEY) as wire:
        for round_number in range(30):
            sink_options = {"in_flight_max": draw.randint(1, 8)}
            appliance.config["destinations"]["hook"] = webhook(sink.url, **sink_options)
            appliance.write_config()
            appliance.reload()
            for number in range(20):
                n = round_number * 20 + number
                assert wire.post("/v1/batch", {"batch": [make_event("p", n, draw, message_id=f"m{n}")]}).status == 200
                sent.add(f"m{n}")
    sink.wait_accepted(sent)
    order = [arrival.n for arrival in sink.arrivals()]
    assert order == sorted(order)
    assert len(order) == len(sent)


def test_a_destination_that_is_disabled_and_enabled_again_keeps_its_place(
    make_appliance: Callable[..., Appliance],
    make_sink: Callable[..., Sink],
) -> None:
    sink = make_sink(Plan())
    appliance = make_appliance({"destinations": {"hook": webhook(sink.url)}})
    appliance.start()
    with Wire(appliance.port, WRITE_KEY) as wire:
        wire.post("/v1/track", {**EVENT, "messageId": "one"})
        sink.wait_accepted({"one"})
        for enabled in (False, True):
            appliance.config["destinations"]["hook"]["enabled"] = enabled
            appliance.write_config()
            reload_and_hear(appliance)
            if not enabled:
                wire.post("/v1/track", {**EVENT, "messageId": "two"})
                time.sleep(0.5)
                assert [arrival.message_id for arrival in sink.arrivals()] == ["one"]
    sink.wait_accepted({"two"})
