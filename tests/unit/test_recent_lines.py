"""The last log lines in memory: bounded, by id and level, and as masked as the stream is."""

import io
import logging

import pytest

from appliance.core import logs
from appliance.core.recent_lines import RecentLines


def test_only_the_last_lines_are_kept_and_ids_go_on() -> None:
    lines = RecentLines(3)
    assert lines.after(0) == ([], 0)
    for number in range(1, 6):
        lines.add(number, "info" if number % 2 else "error", "wal", f"event_{number}", {"n": number})
    found, last = lines.after(0)
    assert ([line.id for line in found], last) == ([3, 4, 5], 5)
    assert [line.id for line in lines.after(3)[0]] == [4, 5]
    assert [line.id for line in lines.after(0, "warning")[0]] == [4]
    assert lines.after(5) == ([], 5) and lines.after(99) == ([], 5)


@pytest.mark.parametrize("format", ["text", "json"])
def test_what_is_written_is_kept_without_secrets_and_repeats(monkeypatch: pytest.MonkeyPatch, format: str) -> None:
    monkeypatch.setattr(logs, "recent", RecentLines())
    logs.hide("very-secret-value")
    stream = io.StringIO()
    logs.setup("info", "json" if format == "json" else "text", stream)
    try:
        log = logs.logger("deliver")
        log.debug("event_posted", payload="hidden")
        for _ in range(5):
            log.warning("delivery_failed", destination="crm", error="the very-secret-value was refused", count=3)
        try:
            raise ValueError("very-secret-value")
        except ValueError:
            log.exception("request_failed")
        logging.getLogger("a.library").critical("the end of %s", "very-secret-value")
    finally:
        logs.setup("info", "text")
    found, _ = logs.recent.after(0)
    shown = [(line.level, line.logger, line.event) for line in found if line.event != "repeats_left_out"]
    assert shown == [
        ("warning", "deliver", "delivery_failed"),
        ("error", "deliver", "request_failed"),
        ("error", "a.library", "the end of ***"),
    ]
    assert found[0].fields == {"destination": "crm", "error": "the *** was refused", "count": 3}
    assert "ValueError: ***" in found[1].fields["traceback"] and "very-secret" not in repr(found)
    assert stream.getvalue().count("delivery_failed") == 1
