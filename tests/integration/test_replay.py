"""What a destination is not sent, and how an operator gets it sent: replays by time, a late start, a damaged block."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from appliance.core.clock import SystemClock
from appliance.core.config import WalConfig
from appliance.wal import keys
from appliance.wal.log import Log
from appliance.wal.store import Store
from tests.support.appliance import WRITE_KEY, Appliance, webhook
from tests.support.sink import Sink
from tests.support.wire import Wire

MakeAppliance, MakeSink = Callable[..., Appliance], Callable[..., Sink]


def send(appliance: Appliance, *message_ids: str) -> None:
    """One request, one commit for each."""
    with Wire(appliance.port, WRITE_KEY) as wire:
        for message_id in message_ids:
            event = {"userId": f"u-{message_id}", "event": "Seen", "messageId": message_id}
            assert wire.post("/v1/track", event).status == 200


def standing(appliance: Appliance, message_id: str, destination: str) -> dict[str, Any]:
    """Where an event stands at a destination, as `trace` tells it."""
    (traced,) = appliance.json("trace", message_id)["events"]
    found: dict[str, Any] = next(one for one in traced["destinations"] if one["destination"] == destination)
    return found


def spoil_block(folder: Path, sequence: int) -> None:
    """Flip a bit in the last byte of a block, the tree around it left whole."""
    store = Store.open(folder, WalConfig().disk_bytes_max)
    with store.env.begin(write=True, db=store.tables.blocks) as txn:
        value = bytearray(txn.get(keys.number_key(sequence)) or b"")
        value[-1] ^= 0x10
        txn.put(keys.number_key(sequence), bytes(value))
    store.env.close()


def received_ms(appliance: Appliance, message_id: str) -> int:
    (traced,) = appliance.json("trace", message_id)["events"]
    return int(traced["event"]["received_ms"])


def test_a_replay_is_exact_to_the_millisecond(make_appliance: MakeAppliance, make_sink: MakeSink) -> None:
    sink = make_sink()
    appliance = make_appliance({"destinations": {"crm": webhook(sink.url)}})
    appliance.start()
    names = [f"m{number}" for number in range(6)]
    for name in names:
        send(appliance, name)
        time.sleep(0.02)
    sink.wait_accepted(set(names))
    seen = len(sink.arrivals())
    from_ms, to_ms = received_ms(appliance, "m2"), received_ms(appliance, "m4")
    appliance.admin("/v1/replays", {"destination": "crm", "from_ms": from_ms, "to_ms": to_ms})
    sink.wait(lambda arrivals: len(arrivals) >= seen + 2)
    deadline = time.monotonic() + 10
    while appliance.admin("/v1/replays")["replays"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert [arrival.message_id for arrival in sink.arrivals()[seen:]] == ["m2", "m3"]


def test_what_came_before_a_destination_began_is_not_called_delivered(
    make_appliance: MakeAppliance, make_sink: MakeSink
) -> None:
    first, late = make_sink(), make_sink()
    appliance = make_appliance({"destinations": {"first": webhook(first.url)}})
    appliance.start()
    send(appliance, "early")
    first.wait_accepted({"early"})
    appliance.config["destinations"]["late"] = webhook(late.url)
    appliance.write_config()
    appliance.admin("/v1/reload", {})
    send(appliance, "fresh")
    late.wait_accepted({"fresh"})
    appliance.kill()
    appliance.start()
    send(appliance, "fresher")  # progress was saved by another process since
    late.wait_accepted({"fresher"})
    assert standing(appliance, "early", "first")["state"] == "succeeded"
    early = standing(appliance, "early", "late")
    assert early["state"] == "skipped" and "before this destination began" in early["words"]
    assert standing(appliance, "fresh", "late")["state"] == "succeeded"


def test_a_damaged_block_is_recorded_as_skipped_and_the_rest_arrives(
    make_appliance: MakeAppliance, make_sink: MakeSink
) -> None:
    sink = make_sink()
    appliance = make_appliance({"destinations": {"crm": webhook(sink.url, enabled=False)}})
    appliance.start()
    send(appliance, "before", "lost", "after")
    appliance.stop()
    spoil_block(appliance.data / "wal", 2)
    appliance.config["destinations"]["crm"]["enabled"] = True
    appliance.start()
    sink.wait_accepted({"before", "after"})
    appliance.kill()
    appliance.start()
    send(appliance, "later")
    sink.wait_accepted({"later"})
    assert "block_skipped" in appliance.log()
    appliance.stop()
    log = Log.open(appliance.data / "wal", WalConfig(), SystemClock())
    (skip,) = log.skips("crm")
    assert (skip.first_sequence, skip.last_sequence, skip.reason) == (2, 2, "damaged on the disk")
    assert {arrival.message_id for arrival in sink.arrivals()} == {"before", "after", "later"}
