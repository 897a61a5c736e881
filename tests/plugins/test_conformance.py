"""The conformance kit on every shipped plug-in, and on wrong ones, each of which it must catch at the right check."""

from pathlib import Path
from typing import Any

import pytest

from appliance.cli.plugin_template import plugin_text
from appliance.deliver.conformance import Check, run_conformance
from appliance.deliver.plugins import discover, shipped_folder

SHIPPED = discover([shipped_folder()])
NEED_A_SERVER = {"postgres"}
"""Of a kind of its own; what tests them there tries them with this kit too."""
HTTP_CHECKS = {"429, Retry-After", "500", "400", "time-out", "connection refused"}
FURTHER: list[tuple[str, dict[str, Any]]] = [
    ("webhook", {"body": "array", "gzip": True, "method": "PUT"}),
    ("relay", {"gzip": True}),
    ("jsonl", {"zstd": True, "rotate_bytes": 1}),
]


def failures(checks: list[Check]) -> list[str]:
    return [f"{check.name}: {check.words}" for check in checks if check.verdict == "failed"]


@pytest.mark.parametrize(("name", "options"), [(name, {}) for name in sorted(SHIPPED.keys() - NEED_A_SERVER)] + FURTHER)
def test_shipped_plugins_keep_the_contract(name: str, options: dict[str, Any]) -> None:
    checks = run_conformance(SHIPPED[name], options)
    assert failures(checks) == []
    verdicts = {check.name: check.verdict for check in checks}
    if "loads (twice)" in verdicts:
        assert not HTTP_CHECKS & set(verdicts), "a warehouse makes no requests"
        assert verdicts["loads (twice)"] == ("passed" if name == "duckdb" else "skipped")
    else:
        assert {verdicts[check] for check in HTTP_CHECKS} == {"skipped" if name == "jsonl" else "passed"}


def test_checks_that_do_not_apply_say_so() -> None:
    skipped = [check.words for check in run_conformance(SHIPPED["jsonl"]) if check.verdict == "skipped"]
    assert skipped and all(words.startswith("does not apply: ") for words in skipped)


@pytest.mark.parametrize("name", ["my_crm", "x", "config"])
def test_the_example_that_the_command_writes_keeps_the_contract(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"{name}.py"
    path.write_text(plugin_text(name))
    assert failures(run_conformance(path)) == []


HEAD = '''"""Sends events somewhere."""
import asyncio, http.client, threading, time, urllib.request, urllib.error
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from appliance.sdk import Abort, Config, Event, Http, Limits, Log, Retry, Secret, Url


class Mine(Config):
    url: Url
    """Where to."""


'''
POST = "    reply = await http.post(config.url, body=event.json)\n"
ASYNC = "async def deliver(event: Event, config: Mine, http: Http) -> None:\n"

WRONG = {
    "counts everything as delivered": (ASYNC + POST, {"429, Retry-After", "500", "400"}),
    "delivers nothing": (
        ASYNC + "    pass\n",
        {"delivers (200)", "429, Retry-After", "500", "400", "time-out", "connection refused"},
    ),
    "aborts on every status": (
        ASYNC + POST + "    if reply.status != 200: raise Abort('no')\n",
        {"429, Retry-After", "500"},
    ),
    "retries on every status": (
        ASYNC + POST + "    if reply.status != 200: raise Retry('no')\n",
        {"429, Retry-After", "400"},
    ),
    "forgets Retry-After": (
        ASYNC + POST + "    if reply.status == 429: raise Retry('slow')\n    reply.raise_for_status()\n",
        {"429, Retry-After"},
    ),
    "turns failures into bugs": (ASYNC + POST + "    assert reply.status == 200\n", {"429, Retry-After", "500", "400"}),
    "swallows its time limit": (
        ASYNC + "    try:\n        await http.post(config.url, body=event.json)\n    except BaseException: pass\n",
        {"429, Retry-After", "500", "400", "time-out", "connection refused"},
    ),
    "ignores its time limit": (
        ASYNC + "    task = asyncio.ensure_future(http.post(config.url, body=event.json))\n"
        "    for _ in range(28):\n        try: await asyncio.wait({task}, timeout=0.1)\n        except asyncio.CancelledError: pass\n"
        "    if not task.done(): task.cancel(); raise Retry('slow')\n    task.result().raise_for_status()\n",
        {"time-out"},
    ),
    "breaks on a refused connection": (
        ASYNC + "    try:\n        reply = await http.post(config.url, body=event.json)\n"
        "    except Retry as error: raise RuntimeError(error)\n    reply.raise_for_status()\n",
        {"connection refused"},
    ),
    "gives up on a refused connection": (
        ASYNC + "    try:\n        reply = await http.post(config.url, body=event.json)\n"
        "    except Retry as error: raise Abort(error.reason)\n    reply.raise_for_status()\n",
        {"connection refused"},
    ),
    "returns what it should raise": (
        ASYNC + POST + "    if reply.status == 429: return Retry('slow', after_s=reply.retry_after_s)\n"
        "    reply.raise_for_status()\n",
        {"429, Retry-After"},
    ),
    "blocks the loop": (
        "LIMITS = Limits(in_flight_max=2)\n"
        + ASYNC
        + "    try: urllib.request.urlopen(config.url, data=event.json, timeout=2.6)\n"
        "    except urllib.error.HTTPError as error:\n"
        "        if error.code == 429: raise Retry('slow', after_s=float(error.headers['Retry-After']))\n"
        "        if error.code >= 500: raise Retry('busy')\n        raise Abort('no')\n"
        "    except OSError: raise Retry('none')\n",
        {"in parallel", "time-out"},
    ),
    "fails in a batch": (
        "async def deliver(events: Sequence[Event], config: Mine, http: Http) -> None:\n    (event,) = events\n"
        + POST
        + "    reply.raise_for_status()\n",
        {"delivers (200)"},
    ),
    "fails in parallel": (
        "busy = []\n"
        + ASYNC
        + "    assert not busy\n    busy.append(1)\n    try:\n    "
        + POST
        + "    finally: busy.clear()\n    reply.raise_for_status()\n",
        {"in parallel"},
    ),
    "fails on repetition": (
        "seen = set()\n"
        + ASYNC
        + "    assert event.message_id not in seen\n    seen.add(event.message_id)\n"
        + POST
        + "    reply.raise_for_status()\n",
        {"delivers (200)"},
    ),
    "opens once only": (
        "count = []\n@contextmanager\ndef open() -> Iterator[int]:\n    count.append(1)\n    assert len(count) == 1\n    yield 1\n"
        "async def deliver(event: Event, config: Mine, http: Http, one: int) -> None:\n"
        + POST
        + "    reply.raise_for_status()\n",
        {"opens", "delivers (200)", "in parallel", "429, Retry-After", "500", "400", "time-out", "connection refused"},
    ),
    "its check says no": (
        "def check(config: Mine) -> None: raise Abort('no')\n" + ASYNC + POST + "    reply.raise_for_status()\n",
        {"check"},
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_plugins_fail_where_they_are_wrong(tmp_path: Path, wrong: str) -> None:
    text, expected = WRONG[wrong]
    path = tmp_path / "wrong.py"
    path.write_text(HEAD + text)
    checks = run_conformance(path, timeout_s=0.3)
    assert {check.name for check in checks if check.verdict == "failed"} == expected, failures(checks)


def test_a_good_plugin_of_the_same_form_passes(tmp_path: Path) -> None:
    """The control of the controls: what they are wrong in is all that is wrong with them."""
    path = tmp_path / "good.py"
    path.write_text(HEAD + ASYNC + POST + "    reply.raise_for_status()\n")
    assert failures(run_conformance(path, timeout_s=0.3)) == []


def test_a_blocking_plugin_with_its_own_client_passes(tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_text(
        HEAD
        + """def deliver(event: Event, config: Mine) -> None:
    try:
        urllib.request.urlopen(config.url, data=event.json, timeout=5)
    except urllib.error.HTTPError as error:
        if error.code == 429:
            raise Retry("slow", after_s=float(error.headers["Retry-After"]))
        raise Retry("busy") if error.code >= 500 else Abort(f"HTTP {error.code}")
    except OSError:
        raise Retry("no connection")
"""
    )
    assert failures(run_conformance(path, timeout_s=0.3)) == []


@pytest.mark.parametrize(
    ("text", "name", "words"),
    [
        ("x = 1\n", "loads", "has no docstring"),
        ('"""Doc."""\nimport nothing_like_it\n', "loads", "No module named"),
        (
            HEAD.replace('    """Where to."""\n', "") + ASYNC + POST + "    reply.raise_for_status()\n",
            "docstrings",
            "under url",
        ),
        (HEAD.replace("url: Url", "sources: Url") + ASYNC + POST, "loads", "declares sources"),
    ],
)
def test_what_is_wrong_with_the_file_itself_is_said(tmp_path: Path, text: str, name: str, words: str) -> None:
    path = tmp_path / "wrong.py"
    path.write_text(text)
    (failed,) = [check for check in run_conformance(path, timeout_s=0.3) if check.verdict == "failed"]
    assert failed.name == name and words in failed.words


def test_options_that_cannot_be_guessed_are_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "picky.py"
    path.write_text(
        HEAD.replace("    url: Url", '    code: str\n    """A code."""\n    url: Url').replace(
            '"""Where to."""',
            '"""Where to."""\n\n    def __post_init__(self) -> None:\n'
            '        if not self.code.startswith("K"):\n            raise ValueError("code starts with K")',
        )
        + ASYNC
        + POST
        + "    reply.raise_for_status()\n"
    )
    failed = failures(run_conformance(path, timeout_s=0.3))
    assert failed and "give them with --option" in failed[0] and "code starts with K" in failed[0]
    assert failures(run_conformance(path, {"code": "K1"}, timeout_s=0.3)) == []


WAREHOUSE = '''"""A warehouse in memory that counts every load."""
from appliance.sdk import Answer, Config, Known, Load
DIALECT = "duckdb"
class Mine(Config):
    pass
SEEN: list[Load] = []
def load(load: Load, config: Mine) -> None:
    {load}
def inspect(stream: str, config: Mine) -> Known:
    return Known({{"tracks": {{"id": "string"}}}} if SEEN else {{}}, {cursors})
def query(sql: str, rows_max: int, config: Mine) -> Answer:
    return Answer(["n"], [[sum(each.rows for each in SEEN)]], False)
'''
ONCE = "SEEN[:] or SEEN.append(load)"
CURSORS = "{each.log_id: each.last_sequence for each in SEEN}"


@pytest.mark.parametrize(
    ("load", "cursors", "words"),
    [
        (ONCE, CURSORS, ""),
        ("SEEN.append(load)", CURSORS, "a query counts [[6]]"),
        (ONCE, "{}", "inspect tells the cursors {}"),
        ("pass", "{'conformance-log': 2}", "inspect does not tell the table that was loaded"),
        ("1 / 0", CURSORS, "shows as a bug"),
    ],
)
def test_a_warehouse_that_does_not_keep_its_word_is_caught(tmp_path: Path, load: str, cursors: str, words: str) -> None:
    file = tmp_path / "mine.py"
    file.write_text(WAREHOUSE.format(load=load, cursors=cursors))
    failed = failures(run_conformance(file))
    assert [text for text in failed if text.startswith("loads (twice)") and words in text] if words else failed == []
