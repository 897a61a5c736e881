"""Health in words: which states are named, and which of them make an appliance failed, degraded or not ready."""

from typing import Any

import msgspec
import pytest

from appliance.control import health
from appliance.core.job import DestinationState
from appliance.deliver.figures import DestinationStatus
from appliance.wal.types import LogStats, Pile

PILE = Pile(0, 0, 1000)
WELL = LogStats(
    **{
        **dict.fromkeys(LogStats.__struct_fields__, 0),
        "log_id": "x",
        "state": "running",
        "fill": 0.1,
        "held": PILE,
        "dead": PILE,
        "refused": PILE,
        "ballast": True,
        "quarantined": "",
        "full_in_s": None,
    }
)


def log(**changes: Any) -> LogStats:
    return msgspec.structs.replace(WELL, **changes)


def destination(state: DestinationState = DestinationState.RUNNING, **changes: Any) -> DestinationStatus:
    values: dict[str, Any] = {
        "name": "crm",
        "plugin": "webhook",
        "state": state,
        "enabled": True,
        "breaker": {},
        "errors": {},
        "last_error": "HTTP 500",
    }
    zero = dict.fromkeys(DestinationStatus.__struct_fields__, 0)
    return DestinationStatus(**{**zero, **values, "last_error_sample": "", **changes})


def test_all_well_says_nothing() -> None:
    report = health.report("", WELL, [destination()], [])
    assert report == health.Health("well", []) and report.status == 200
    assert health.unready(report, WELL, [destination()]) == []


def test_a_failed_log_is_the_only_failure() -> None:
    report = health.report("fsync failed", None, [], ["the port is taken"])
    assert report.health == "failed" and report.status == 503 and "fsync failed" in report.sick[0]
    assert health.unready(report, None, [])


@pytest.mark.parametrize(
    ("stats", "words", "ready"),
    [
        (log(state="full", fill=0.93), "budget is spent", False),
        (log(state="disk_full"), "disk is full", False),
        (log(fill=0.85, full_in_s=7200.0), "85% of its budget is used, full in 2.0 h", True),
        (log(quarantined="/d/quarantine-1"), "quarantine-1", True),
        (log(ballast=False), "ballast", True),
    ],
)
def test_what_ails_the_log_is_named_and_needs_no_restart(stats: LogStats, words: str, ready: bool) -> None:
    report = health.report("", stats, [], [])
    assert report.health == "degraded" and report.status == 200 and words in " ".join(report.sick)
    assert (health.unready(report, stats, []) == []) is ready


@pytest.mark.parametrize(
    ("status", "words", "ready"),
    [
        (
            destination(DestinationState.OPEN, lag_events=7),
            "crm: is down: HTTP 500; it is probed, 7 events wait",
            False,
        ),
        (destination(DestinationState.MISCONFIGURED), "refuses everybody alike: HTTP 500", False),
        (destination(DestinationState.STOPPED), "does not run", False),
        (
            destination(DestinationState.DEGRADED, held_people=2, held_events=9),
            "2 people wait with 9 events: HTTP 500",
            True,
        ),
        (destination(DestinationState.PAUSED, lag_events=3), "is paused, 3 events wait", True),
        (destination(oldest_undelivered_ms=600_000, lag_events=5), "is 10 min behind, 5 events wait", True),
        (destination(hung=1), "1 calls of its plug-in webhook hang", True),
    ],
)
def test_what_ails_a_destination_is_named(status: DestinationStatus, words: str, ready: bool) -> None:
    report = health.report("", WELL, [status], [])
    assert report.health == "degraded" and report.status == 200 and words in report.sick[0]
    assert (health.unready(report, WELL, [status]) == []) is ready


def test_a_destination_paused_by_its_configuration_is_not_ill() -> None:
    assert health.report("", WELL, [destination(DestinationState.PAUSED, enabled=False, lag_events=3)], []).sick == []


def test_many_sick_parts_are_counted_not_listed_without_end() -> None:
    report = health.report(
        "", WELL, [destination(DestinationState.OPEN, name=f"d{n}") for n in range(200)], ["a fault"]
    )
    assert len(report.sick) == health.WORDS_MAX and report.sick[0] == "a fault"
    assert report.sick[-1] == f"and {201 - health.WORDS_MAX + 1} more"
