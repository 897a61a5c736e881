"""The breaker: when it opens, when it believes an abort, what closes it."""

from appliance.deliver.breaker import Breaker, BreakerState


def breaker(people: int = 3) -> Breaker:
    return Breaker(people, window_ms=1_000, probe_min_ms=100, probe_max_ms=400)


def test_many_different_people_with_no_success_open_it() -> None:
    it = breaker()
    it.failed("a", "HTTP 500", 0, probe=False)
    it.failed("b", "HTTP 500", 1, probe=False)
    assert it.closed
    it.failed("c", "HTTP 500", 2, probe=False)
    assert it.state is BreakerState.OPEN
    assert it.cause == "HTTP 500"


def test_one_person_alone_never_opens_it() -> None:
    it = breaker()
    for at_ms in range(100):
        it.failed("a", "HTTP 500", at_ms, probe=False)
    assert it.closed


def test_a_success_between_forgets_the_failures() -> None:
    it = breaker()
    for person in "abcdefgh":
        it.failed(person, "HTTP 500", 0, probe=False)
        it.failed(person, "HTTP 500", 0, probe=False)
        it.succeeded()
    assert it.closed


def test_failures_older_than_the_window_do_not_count() -> None:
    it = breaker()
    for index, person in enumerate("abcdef"):
        it.failed(person, "HTTP 500", index * 600, probe=False)
    assert it.closed


def test_aborts_of_one_kind_are_believed_up_to_the_threshold() -> None:
    it = breaker()
    assert [it.aborted(person, "HTTP 401", 0, probe=False) for person in "abcd"] == [True, True, False, False]
    assert it.state is BreakerState.MISCONFIGURED


def test_aborts_of_different_kinds_are_about_events() -> None:
    it = breaker()
    assert all(it.aborted(person, f"HTTP 4{index:02}", 0, probe=False) for index, person in enumerate("abcdef"))
    assert it.closed


def test_probes_go_further_apart_until_one_succeeds() -> None:
    it = breaker(1)
    it.failed("a", "HTTP 500", 0, probe=False)
    assert not it.may_probe(99)
    waits, now_ms = [], 100
    for _ in range(4):
        assert it.may_probe(now_ms)
        it.probing = True
        assert not it.may_probe(now_ms)
        it.failed("a", "HTTP 500", now_ms, probe=True)
        waits.append(it.next_probe_ms - now_ms)
        now_ms = it.next_probe_ms
    assert waits == [200, 400, 400, 400]
    it.succeeded()
    assert it.closed


def test_a_late_failure_from_before_does_not_end_a_probe_that_is_out() -> None:
    it = breaker(1)
    it.failed("a", "HTTP 500", 0, probe=False)
    it.probing = True
    it.failed("b", "HTTP 500", 200, probe=False)
    assert not it.may_probe(10_000)


def test_an_open_breaker_takes_a_refusal_as_an_answer_a_misconfigured_one_does_not() -> None:
    it = breaker()
    for person in "abc":
        it.failed(person, "HTTP 503", 0, probe=False)
    assert it.aborted("a", "HTTP 400", 1, probe=True)
    assert it.closed
    for person in "abc":
        it.aborted(person, "HTTP 401", 2, probe=False)
    assert not it.aborted("a", "HTTP 401", 3, probe=True)
    assert it.state is BreakerState.MISCONFIGURED


def test_a_kind_that_has_not_failed_need_not_wait_as_long_as_the_others() -> None:
    it = breaker(1)
    it.failed("a", "HTTP 500", 0, probe=False)
    for _ in range(4):
        it.probing = True
        it.failed("a", "HTTP 500", it.next_probe_ms, probe=True)
    last_ms = it.next_probe_ms - 400
    assert not it.may_probe(last_ms + 100)
    assert it.may_probe(last_ms + 100, new_kind=True)
    assert not it.may_probe(last_ms + 99, new_kind=True)


def test_what_a_former_process_found_out_is_not_found_out_again() -> None:
    it = breaker()
    it.restore("HTTP 401", 50)
    assert it.state is BreakerState.MISCONFIGURED
    assert not it.aborted("a", "HTTP 401", 51, probe=False)
    assert it.may_probe(51)
