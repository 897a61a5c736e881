"""Log lines: their form, what is left out, what is masked."""

import io
import json
import logging
import re
from collections.abc import Iterator

import pytest

from appliance.core import logs


@pytest.fixture(autouse=True)
def unchanged_logging() -> Iterator[None]:
    yield
    for handler in list(logging.getLogger().handlers):
        if type(handler).__module__ == logs.__name__:
            logging.getLogger().removeHandler(handler)


def lines(stream: io.StringIO) -> list[str]:
    return stream.getvalue().splitlines()


def test_text_for_people() -> None:
    stream = io.StringIO()
    logs.setup("info", "text", stream)
    logs.logger("collect").info("listener_opened", address="127.0.0.1:8080", words="two words", count=3, quote='"')
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO    collect listener_opened "
        r'address=127\.0\.0\.1:8080 words="two words" count=3 quote="\\""',
        lines(stream)[0],
    )


def test_json_for_machines() -> None:
    stream = io.StringIO()
    logs.setup("debug", "json", stream)
    logs.logger("deliver").bind(destination="crm").debug("batch_sent", events=5, ratio=0.5, error=ValueError("é\nx"))
    line = json.loads(lines(stream)[0])
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "debug",
        "room": "deliver",
        "event": "batch_sent",
        "destination": "crm",
        "events": 5,
        "ratio": 0.5,
        "error": "é\nx",
    }


def test_one_event_is_one_line_whatever_it_holds() -> None:
    for form in ("text", "json"):
        stream = io.StringIO()
        logs.setup("info", form, stream)
        logs.logger("collect").info("request_refused", error="a\nERROR wal forged\r\u2028x", body="y" * 100_000)
        assert stream.getvalue().count("\n") == 1
        assert len(stream.getvalue()) < 3_000


def test_levels() -> None:
    stream = io.StringIO()
    logs.setup("warning", "text", stream)
    logs.logger("wal").info("log_opened")
    logs.logger("wal").warning("log_filled")
    logging.getLogger("some.library").info("chatter")
    logging.getLogger("some.library").warning("trouble with %s", "x")
    assert [line.split()[2:] for line in lines(stream)] == [
        ["wal", "log_filled"],
        ["some.library", "trouble", "with", "x"],
    ]


def test_a_traceback_stands_below_its_event() -> None:
    stream = io.StringIO()
    logs.setup("info", "text", stream)
    try:
        raise KeyError("who")
    except KeyError:
        logs.logger("deliver").exception("plugin_broke", plugin="mine")
    text = lines(stream)
    assert "plugin_broke plugin=mine" in text[0]
    assert text[1] == "    Traceback (most recent call last):" and text[-1] == "    KeyError: 'who'"


def test_the_same_error_once_in_ten_seconds() -> None:
    now_s = 1000.0
    repeats = logs.Repeats(lambda: now_s)
    one, other = ("deliver", "crm"), ("deliver", "erp")
    assert repeats.left_out(one) == 0
    assert [repeats.left_out(one) for _ in range(5)] == [None] * 5
    assert repeats.left_out(other) == 0
    now_s += 9.9
    assert repeats.left_out(one) is None
    assert repeats.pending() == 6
    now_s += 0.1
    assert repeats.left_out(one) == 6
    assert repeats.left_out(one) is None
    now_s += 10
    assert repeats.left_out(one) == 1


def test_errors_told_apart_are_bounded() -> None:
    repeats = logs.Repeats(lambda: 0.0)
    for number in range(3 * logs.KINDS_MAX):
        assert repeats.left_out((str(number),)) == 0
    assert len(repeats._seen) == logs.KINDS_MAX


def test_repeats_differ_by_destination_and_error_but_not_by_numbers() -> None:
    stream = io.StringIO()
    logs.setup("info", "text", stream)
    log = logs.logger("deliver")
    for number in range(20):
        log.warning("delivery_failed", destination="crm", error=f"port {40_000 + number} reset, id 3f{number}-x")
        log.warning("delivery_failed", destination="erp", error="refused")
        log.info("progress_made", number=number)
    log.warning("delivery_failed", destination="crm", error="HTTP timeout")
    written = [line for line in lines(stream) if "delivery_failed" in line]
    assert [("crm" in line, "reset" in line, "timeout" in line) for line in written] == [
        (True, True, False),
        (False, False, False),
        (True, False, True),
    ]
    assert sum("progress_made" in line for line in lines(stream)) == 20
    logs.setup("info", "text", io.StringIO())
    assert "repeats_left_out count=38" in lines(stream)[-1]


def test_hidden_values_never_show() -> None:
    for form in ("text", "json"):
        stream = io.StringIO()
        logs.setup("info", form, stream)
        logs.hide("s3cret-token")
        try:
            raise RuntimeError("bad header: Bearer s3cret-token")
        except RuntimeError as error:
            logs.logger("deliver").exception("plugin_broke", error=error)
            logging.getLogger("aiohttp").error("refused %s", "s3cret-token")
        assert "s3cret-token" not in stream.getvalue()
        assert stream.getvalue().count("***") >= 3
    logs.hide("abc")  # too short to be told from ordinary words
    assert logs.masked("abc") == "abc"


def test_a_broken_stream_stops_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    logs.setup("info", "text", stream)
    stream.close()
    logs.logger("wal").error("log_failed")
    assert "ValueError" in capsys.readouterr().err
