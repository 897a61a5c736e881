"""The whole chain on real sockets: in by HTTP, out by webhook, file and relay; a dead destination costs no other."""

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path

from tests.support.appliance import WRITE_KEY, Appliance, webhook
from tests.support.judge import Ledger, delays_s, drained, judge
from tests.support.load import crowd, percentile, under_load
from tests.support.sink import Plan, Sink
from tests.support.wire import Wire, zipped

RICH = {
    "type": "track",
    "event": "Órder \U0001f6d2",
    "userId": "u-1",
    "anonymousId": "a-1",
    "messageId": "not a uuid",
    "properties": {
        "n": 1,
        "big": 12345678901234567890123,
        "tiny": 1e-300,
        "null": None,
        "list": [[], {}, "", 0.10],
        "ключ": {"深": ["い", {"messageId": "inner", "type": "x", "": 1}]},
    },
    "context": {"traits": {"e-mail": "a@b.example"}, "ip": "203.0.113.9"},
    "originalTimestamp": "2026-01-02T03:04:05.678Z",
    "integrations": {"All": True},
    "unknown": {"stays": "as it is"},
}


def test_an_event_arrives_unchanged_through_two_appliances_and_in_a_file(
    make_appliance: Callable[..., Appliance],
    make_sink: Callable[..., Sink],
    tmp_path: Path,
) -> None:
    sink, end, out = make_sink(bodies=True), make_sink(bodies=True), tmp_path / "out"
    centre = make_appliance({"destinations": {"hook": webhook(end.url)}})
    edge = make_appliance(
        {
            "destinations": {
                "hook": webhook(sink.url),
                "files": {"plugin": "jsonl", "folder": str(out)},
                "centre": {"plugin": "relay", "url": centre.url, "write_key": WRITE_KEY},
            }
        }
    )
    centre.start()
    edge.start()
    with Wire(edge.port, WRITE_KEY) as wire:
        assert (
            wire.post(
                "/v1/batch",
                zipped({"batch": [RICH], "sentAt": "2026-01-02T03:04:06.000Z"}),
                {"Content-Encoding": "gzip", "Content-Type": "application/x-www-form-urlencoded"},
            ).text
            == "ok"
        )
    sink.wait_accepted({"not a uuid"})
    end.wait_accepted({"not a uuid"})
    for where in (sink, end):
        body = json.loads(where.accepted()[0].body)
        assert body["context"].pop("sternpost") == {"personId": body["rudderId"]}
        assert {key: body[key] for key in RICH} == RICH
        assert {"receivedAt", "request_ip", "timestamp", "sentAt"} <= set(body)
        assert [arrival.message_id for arrival in where.arrivals()] == ["not a uuid"]
        assert '"big":12345678901234567890123' in where.accepted()[0].body.replace(" ", "")
    lines = [line for path in out.rglob("*.jsonl") for line in path.read_text().splitlines()]
    assert [json.loads(line)["messageId"] for line in lines] == ["not a uuid"]


def test_a_dead_and_a_hanging_destination_cost_the_others_nothing(
    make_appliance: Callable[..., Appliance],
    make_sink: Callable[..., Sink],
    seed: int,
    figure: Callable[[str], None],
) -> None:
    well, dead, hanging = make_sink(), make_sink(), make_sink(Plan(hang=1.0, hang_s=60))
    dead.stop()
    measured = []
    for sick in (False, True):
        destinations = {"well": webhook(f"{well.url}?run={int(sick)}")}
        if sick:
            destinations |= {"dead": webhook(dead.url), "hanging": webhook(hanging.url)}
        appliance, ledger = make_appliance({"destinations": destinations}), Ledger()
        appliance.start()
        clients = crowd(appliance.url, WRITE_KEY, ledger, seed + sick, size=12)
        for client in clients:
            client.people = [f"{sick}-{person}" for person in client.people]
            client.numbers = dict.fromkeys(client.people, 0)
        asyncio.run(under_load(clients, lambda: time.sleep(6.0)))
        well.wait(drained(ledger.acknowledged, int(sick)), timeout_s=20)
        mine = [arrival for arrival in well.arrivals() if arrival.run == int(sick)]
        verdict = judge(ledger.entries, mine)
        assert verdict.clean, str(verdict)
        assert set(ledger.answers) == {200}
        delays = list(delays_s(ledger.entries, mine).values())
        measured.append((percentile(ledger.latencies_s, 0.95), percentile(delays, 0.5), percentile(delays, 0.95)))
        figure(
            f"sick neighbours: {sick}; {len(delays)} events, answer p95 {measured[-1][0] * 1e3:.0f} ms, "
            f"200 to arrival p50 {measured[-1][1] * 1e3:.0f} ms, p95 {measured[-1][2] * 1e3:.0f} ms"
        )
        if sick:
            dead.start()
            hanging.set_plan(Plan())
            for sink in (dead, hanging):
                sink.wait(
                    drained(ledger.acknowledged),
                    timeout_s=40,
                    what="a destination came back and did not get everything",
                )
                assert not judge(ledger.entries, sink.arrivals()).inversions
        appliance.stop()
    assert measured[1][0] < measured[0][0] * 3 + 0.1
    assert measured[1][2] < measured[0][2] * 3 + 0.2


def test_duplicates_of_a_client_are_delivered_once_across_a_restart(
    make_appliance: Callable[..., Appliance],
    make_sink: Callable[..., Sink],
) -> None:
    sink = make_sink()
    appliance = make_appliance(
        {
            "destinations": {"hook": webhook(sink.url)},
            "sources": {"web": {"write_key": WRITE_KEY}, "phone": {"write_key": "wk_phone"}},
        }
    )
    batch = {
        "batch": [
            {"type": "track", "event": "E", "userId": "u", "messageId": f"m{n % 7}", "properties": {"n": n}}
            for n in range(20)
        ]
    }
    for _ in range(2):
        appliance.start()
        with Wire(appliance.port, WRITE_KEY) as wire, Wire(appliance.port, "wk_phone") as phone:
            for _ in range(3):
                assert wire.post("/v1/batch", batch).status == 200
                assert phone.post("/v1/batch", batch).status == 200
        sink.wait_accepted({f"m{n}" for n in range(7)})
        time.sleep(0.5)
        appliance.kill()
    assert sorted(arrival.message_id for arrival in sink.arrivals()) == sorted([f"m{n}" for n in range(7)] * 2)
