"""The rules of the console's door: sessions, tickets, wrong tries, origins."""

from collections.abc import Callable
from itertools import count

import pytest

from appliance.control.console import gate
from appliance.control.console.gate import Sessions, Tickets, WrongTries, origin_matches

HOUR_MS = 3_600_000


def numbered() -> Callable[[], str]:
    numbers = count(1)
    return lambda: f"value{next(numbers)}"


def test_a_session_is_found_by_its_cookie_alone() -> None:
    sessions = Sessions(numbered())
    value = sessions.begin("token", 0)
    found = sessions.find(value, 1)
    assert found is not None and found.token == "token"
    for other in ("", "value2", value + " ", "é\udc80"):
        assert sessions.find(other, 1) is None


def test_a_session_ends_by_idling_by_age_and_by_signing_out() -> None:
    sessions = Sessions(numbered())
    idle, busy, left = (sessions.begin("t", 0) for _ in range(3))
    sessions.end(left)
    assert sessions.find(left, 1) is None
    for now_ms in range(HOUR_MS // 2, 12 * HOUR_MS, HOUR_MS // 2):
        found = sessions.find(busy, now_ms)
        assert found is not None, now_ms
        found.seen_ms = now_ms
        assert (sessions.find(idle, now_ms) is None) == (now_ms >= HOUR_MS)
    assert sessions.find(busy, 12 * HOUR_MS) is None


def test_sessions_are_bounded_and_the_longest_idle_goes_first() -> None:
    sessions = Sessions(numbered())
    values = [sessions.begin("t", number) for number in range(gate.SESSIONS_MAX)]
    first = sessions.find(values[0], 100)
    assert first is not None
    first.seen_ms = 100
    sessions.begin("t", 101)
    assert sessions.find(values[0], 102) is not None
    assert sessions.find(values[1], 102) is None


def test_a_ticket_lets_in_once_and_for_ten_minutes() -> None:
    tickets = Tickets(numbered())
    first, second = tickets.issue("one", 0), tickets.issue("two", 0)
    assert tickets.redeem("value9", 0) is None
    assert tickets.redeem(first, gate.TICKET_MS - 1) == "one"
    assert tickets.redeem(first, gate.TICKET_MS - 1) is None
    assert tickets.redeem(second, gate.TICKET_MS) is None


def test_tickets_are_bounded() -> None:
    tickets = Tickets(numbered())
    values = [tickets.issue("t", 0) for _ in range(gate.TICKETS_MAX + 1)]
    assert [tickets.redeem(value, 1) for value in values] == [None] + ["t"] * gate.TICKETS_MAX


def test_wrong_tries_make_one_address_wait_for_a_while() -> None:
    tries = WrongTries()
    for number in range(gate.WRONG_MAX):
        assert tries.wait_ms("a", number) == 0
        tries.add("a", number)
    assert tries.wait_ms("a", 100) == gate.WRONG_MS - 100
    assert tries.wait_ms("b", 100) == 0
    assert tries.wait_ms("a", gate.WRONG_MS) == 0
    tries.add("a", gate.WRONG_MS)
    assert tries.wait_ms("a", gate.WRONG_MS) == 0


def test_addresses_that_tried_are_bounded() -> None:
    tries = WrongTries()
    for number in range(gate.WRONG_MAX):
        tries.add("first", number)
    for number in range(gate.ADDRESSES_MAX):
        tries.add(str(number), 0)
    assert tries.wait_ms("first", 1) == 0


@pytest.mark.parametrize(
    ("origin", "host", "tls", "ours"),
    [
        ("http://127.0.0.1:8081", "127.0.0.1:8081", False, True),
        ("http://LOCALHOST:8081", "localhost:8081", False, True),
        ("https://127.0.0.1:8081", "127.0.0.1:8081", True, True),
        ("https://console.example", "console.example", False, True),  # a proxy ends TLS
        ("http://127.0.0.1:8081", "127.0.0.1:8081", True, False),
        ("http://127.0.0.1:8082", "127.0.0.1:8081", False, False),
        ("http://localhost:8081", "127.0.0.1:8081", False, False),
        ("http://127.0.0.1", "127.0.0.1:8081", False, False),
        ("http://evil.example", "127.0.0.1:8081", False, False),
        ("http://evil@127.0.0.1:8081", "127.0.0.1:8081", False, False),
        ("http://127.0.0.1:8081/", "127.0.0.1:8081", False, False),
        ("http://127.0.0.1:8081?x", "127.0.0.1:8081", False, False),
        ("ftp://127.0.0.1:8081", "127.0.0.1:8081", False, False),
        ("file://", "", False, False),
        ("http://", "", False, False),
        ("http://[", "[", False, False),
        ("null", "127.0.0.1:8081", False, False),
        ("", "127.0.0.1:8081", False, False),
        (None, "127.0.0.1:8081", False, False),
        ("http://127.0.0.1:8081", None, False, False),
    ],
)
def test_only_pages_of_the_very_host_are_ours(origin: str | None, host: str | None, tls: bool, ours: bool) -> None:
    assert origin_matches(origin, host, tls=tls) is ours
