"""Which work the writer takes, and when."""

import threading
import time
from collections.abc import Callable
from typing import Any

from appliance.wal.inbox import Change, Inbox, Ticket, Work

FOREVER = float("inf")


def _ticket(size: int = 10) -> Ticket:
    future: Any = None
    return Ticket(0, future, size, [], [])


class Taker:
    """One `take` on a thread of its own, as the writer does it."""

    def __init__(self, inbox: Inbox, wake_s: float = FOREVER) -> None:
        self.work: Work | None = None
        self._thread = threading.Thread(target=self._take, args=(inbox, wake_s))
        self._thread.start()
        _until(lambda: self.work is not None or inbox._waiting_until_s is not None)

    def _take(self, inbox: Inbox, wake_s: float) -> None:
        self.work = inbox.take(wake_s)

    def done(self) -> Work:
        self._thread.join(10)
        assert self.work is not None
        return self.work


def _until(there: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_the_first_append_goes_at_once():
    inbox = Inbox(1_000, group_delay_s=60)
    taker = Taker(inbox)
    assert inbox.offer(_ticket()) is False
    assert len(taker.done().tickets) == 1


def test_one_or_two_clients_never_wait():
    inbox = Inbox(1_000, group_delay_s=60)
    inbox.offer(_ticket())
    for _ in range(5):
        assert len(inbox.take(FOREVER).tickets) == 1
        inbox.offer(_ticket())  # the other client's, while the first one's is committed


def test_a_group_waits_for_three_quarters_of_those_that_came_lately():
    inbox = Inbox(1_000, group_delay_s=60)
    for _ in range(8):
        inbox.offer(_ticket())
    assert len(inbox.take(FOREVER).tickets) == 8
    taker = Taker(inbox)
    asked = [inbox.offer(_ticket()) for _ in range(5)]
    assert asked == [True, False, False, False, False], "one timer for the group"
    time.sleep(0.05)
    assert taker.work is None
    inbox.offer(_ticket())
    assert len(taker.done().tickets) == 6


def test_a_group_goes_when_its_delay_is_over():
    inbox = Inbox(1_000, group_delay_s=0.02)
    for _ in range(8):
        inbox.offer(_ticket())
    inbox.take(FOREVER)
    inbox.offer(_ticket())  # while the writer was busy: it keeps the time itself
    assert len(inbox.take(FOREVER).tickets) == 1
    for _ in range(8):
        inbox.offer(_ticket())
    inbox.take(FOREVER)
    taker = Taker(inbox)
    assert inbox.offer(_ticket())  # while the writer sleeps: whoever offers keeps the time
    time.sleep(0.03)
    inbox.nudge()
    assert len(taker.done().tickets) == 1


def test_a_group_goes_when_it_is_big_enough():
    inbox = Inbox(1_000, group_delay_s=60)
    for _ in range(8):
        inbox.offer(_ticket())
    inbox.take(FOREVER)
    inbox.offer(_ticket(600))
    inbox.offer(_ticket(600))
    assert len(inbox.take(FOREVER).tickets) == 1, "a group holds no more than its bytes"


def test_a_change_does_not_wait_for_a_group_and_takes_it_along():
    inbox = Inbox(1_000, group_delay_s=60)
    for _ in range(8):
        inbox.offer(_ticket())
    inbox.take(FOREVER)
    taker = Taker(inbox)
    inbox.offer(_ticket())
    inbox.submit(Change(lambda _: None, soon=False))
    work = taker.done()
    assert (len(work.tickets), len(work.changes)) == (1, 1)


def test_changes_put_back_come_first_and_not_at_once():
    inbox = Inbox(1_000, group_delay_s=0)
    first, second = Change(lambda _: None, soon=False), Change(lambda _: None, soon=True)
    inbox.submit(first)
    assert inbox.take(FOREVER).changes == [first]
    inbox.submit(second)
    began_s = time.monotonic()
    inbox.put_back([first], 0.1)
    assert inbox.take(FOREVER).changes == [first, second]
    assert time.monotonic() - began_s >= 0.1


def test_a_timer_wakes_the_writer_without_work():
    assert Inbox(1_000, group_delay_s=0).take(time.monotonic() + 0.02) == Work([], [])


def test_stopping_hands_out_all_that_is_queued():
    inbox = Inbox(1_000, group_delay_s=60)
    for _ in range(8):
        inbox.offer(_ticket())
    inbox.take(FOREVER)
    inbox.offer(_ticket())
    inbox.submit(Change(lambda _: None, soon=True))
    inbox.stop()
    assert [len(part) for part in inbox.take(FOREVER)] == [1, 1]
    assert inbox.take(FOREVER) == Work([], [])
