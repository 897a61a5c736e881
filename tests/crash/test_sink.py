"""The harness proves itself first: the sink records before it answers and fails as planned."""

import http.client
import json
from collections.abc import Callable

import pytest

from tests.support.sink import Plan, Sink


def post(sink: Sink, body: object, run: int = 0) -> tuple[int, str | None]:
    connection = http.client.HTTPConnection("127.0.0.1", sink.port, timeout=2.0)
    try:
        connection.request("POST", f"/events?run={run}", json.dumps(body))
        reply = connection.getresponse()
        reply.read()
        return reply.status, reply.getheader("Retry-After")
    finally:
        connection.close()


def event(number: int, name: str = "Viewed", person: str = "p1") -> dict[str, object]:
    return {
        "type": "track",
        "event": name,
        "anonymousId": person,
        "messageId": f"m{number}",
        "properties": {"n": number},
    }


def test_arrivals_keep_order_run_and_ids(make_sink: Callable[..., Sink]) -> None:
    sink = make_sink(bodies=True)
    post(sink, event(1))
    post(sink, [event(2), event(3, person="p2")], run=7)
    post(sink, {"batch": [event(4)], "sentAt": "x"})
    post(sink, {"type": "identify", "userId": 5, "messageId": "m5", "traits": {"n": 5, "name": "ü"}})
    rows = [(a.run, a.request, a.person, a.n, a.message_id) for a in sink.arrivals()]
    assert rows == [
        (0, 1, "p1", 1, "m1"),
        (7, 2, "p1", 2, "m2"),
        (7, 2, "p2", 3, "m3"),
        (0, 3, "p1", 4, "m4"),
        (0, 4, "5", 5, "m5"),
    ]
    assert json.loads(sink.arrivals()[-1].body)["traits"]["name"] == "ü"


def test_failures_come_as_planned(make_sink: Callable[..., Sink]) -> None:
    sink = make_sink(Plan(error=1.0))
    assert post(sink, event(1)) == (500, None)
    sink.set_plan(Plan(throttle=1.0, retry_after="3"))
    assert post(sink, event(1)) == (429, "3")
    sink.set_plan(Plan(reset=1.0))
    with pytest.raises(ConnectionResetError):
        post(sink, event(1))
    sink.set_plan(Plan(hang=1.0))
    with pytest.raises(TimeoutError):
        post(sink, event(1))
    sink.set_plan(Plan(fail_events={"Bad": 400}, fail_ids={"m9": 503}))
    assert [post(sink, event(1, "Bad"))[0], post(sink, [event(2), event(9)])[0], post(sink, event(3))[0]] == [
        400,
        503,
        200,
    ]
    sink.stop()
    with pytest.raises(ConnectionRefusedError):
        post(sink, event(1))
    sink.start()
    assert post(sink, event(4))[0] == 200
    assert [a.status for a in sink.arrivals()] == [500, 429, -1, 0, 400, 503, 503, 200, 200]


def test_the_same_seed_fails_the_same_requests(make_sink: Callable[..., Sink], seed: int) -> None:
    plan = Plan(seed=seed, error=0.3, throttle=0.2)
    answers = []
    for _ in range(2):
        sink = make_sink(plan)
        answers.append([post(sink, event(number))[0] for number in range(100)])
    assert answers[0] == answers[1]
    assert {200, 429, 500} == set(answers[0])
