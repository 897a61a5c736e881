"""Looking on while something works: its value, its failure, and a bar that follows."""

import io
import sys
import threading

import pytest

from appliance.cli import progress


def test_it_looks_on_until_the_work_is_done() -> None:
    looked = threading.Event()
    counts: list[int] = []

    def look() -> None:
        counts.append(len(counts))
        if len(counts) == 2:
            looked.set()

    assert progress.watched(lambda: looked.wait(20) and "value", look) == "value"
    assert counts == [0, 1]


def test_a_failure_of_the_work_is_raised_here() -> None:
    def fail() -> None:
        raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        progress.watched(fail, lambda: None)


def test_a_failing_look_is_raised_at_once() -> None:
    ended = threading.Event()

    def look() -> None:
        raise LookupError("the process went away")

    with pytest.raises(LookupError):
        progress.watched(lambda: ended.wait(20), look)
    ended.set()


@pytest.mark.parametrize("shown", [True, False])
def test_a_bar_follows_what_is_done(monkeypatch: pytest.MonkeyPatch, shown: bool) -> None:
    drawn = io.StringIO()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr(sys, "stderr", drawn)
    with progress.bar("deleting", 40, shown) as show:
        show(17)
        show(41)
    assert ("40/40" in drawn.getvalue()) is shown
    assert (drawn.getvalue() == "") is not shown
