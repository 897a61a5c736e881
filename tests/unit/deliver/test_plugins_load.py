"""Loading plug-in files: the contract read from annotations, every breach in words, nobody else disturbed."""

import sys
from pathlib import Path

import pytest

from appliance.core.config import DestinationConfig
from appliance.core.errors import PluginFault
from appliance.deliver.plugins import (
    build_config,
    discover,
    effective_limits,
    find_plugin,
    load_all,
    load_plugin,
    plugin_folders,
    shipped_folder,
)

TEN_LINES = '''"""Post every event to one URL as JSON."""
from appliance.sdk import Abort, Config, Event, Http, Limits, Retry, Secret

LIMITS = Limits(in_flight_max=8, timeout_s=10.0)

class Webhook(Config):
    url: str
    """Where to POST."""
    token: Secret | None = None
    """Sent as a bearer token; `env:NAME` or `file:PATH` in the TOML."""

async def deliver(event: Event, config: Webhook, http: Http) -> None:
    headers = {"Authorization": f"Bearer {config.token.reveal()}"} if config.token else {}
    reply = await http.post(config.url, body=event.json, headers=headers)
    if reply.status in (408, 429) or reply.status >= 500:
        raise Retry(f"HTTP {reply.status}", after_s=reply.retry_after_s, sample=reply.text)
    if not 200 <= reply.status < 300:
        raise Abort(f"HTTP {reply.status}", sample=reply.text)
'''

IMPORT = "from appliance.sdk import *\n"
HEAD = '''"""A plug-in."""
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from appliance.sdk import *
'''
GOOD = "def deliver(event: Event) -> None: ...\n"


def write(folder: Path, text: str, name: str = "mine") -> Path:
    path = folder / f"{name}.py"
    path.write_text(text)
    return path


def test_the_ten_lines_of_the_design_are_a_plugin(tmp_path: Path) -> None:
    plugin = load_plugin(write(tmp_path, TEN_LINES, "webhook"))
    assert (plugin.name, plugin.kind, plugin.batch, plugin.is_async) == ("webhook", "deliver", "single", True)
    assert plugin.injects == ("config", "http")
    assert plugin.summary == "Post every event to one URL as JSON."
    assert plugin.config_docs == {
        "url": "Where to POST.",
        "token": "Sent as a bearer token; `env:NAME` or `file:PATH` in the TOML.",
    }
    assert plugin.limits.timeout_s == 10.0


def test_annotations_decide_about_batches_threads_and_what_is_injected(tmp_path: Path) -> None:
    text = HEAD + (
        "LIMITS = Limits(batch='independent', batch_events_max=7)\n"
        "class Mine(Config):\n    folder: str\n"
        "class Thing: ...\n"
        "@contextmanager\n"
        "def open(config: Mine) -> Iterator[Thing]:\n    yield Thing()\n"
        "def deliver(events: Sequence[Event], log: Log, thing: Thing, config: Mine) -> None: ...\n"
    )
    plugin = load_plugin(write(tmp_path, text))
    assert (plugin.batch, plugin.is_async, plugin.injects) == ("independent", False, ("log", "opened", "config"))
    assert plugin.open is not None and not plugin.open.is_async


def test_postponed_annotations_are_read_too(tmp_path: Path) -> None:
    text = '"""Doc."""\nfrom __future__ import annotations\nfrom appliance.sdk import Event, Config\n'
    plugin = load_plugin(
        write(tmp_path, text + "class C(Config):\n    a: int\ndef deliver(e: Event, c: C) -> None: ...\n")
    )
    assert plugin.injects == ("config",)
    assert build_config(plugin, {"a": 3}).a == 3  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (IMPORT + GOOD, "has no docstring"),
        ('"""  """\n' + IMPORT + GOOD, "has no docstring"),
        (HEAD, "defines no function deliver"),
        (HEAD + "deliver = 3\n", "defines no function deliver"),
        (HEAD + "def transform(event: Event): ...\n", "defines transform; this version runs plug-ins that define deliver"),
        (HEAD + GOOD + "def load(a: int): ...\n", "defines deliver and load"),
        (HEAD + "def deliver() -> None: ...\n", "takes no event"),
        (HEAD + "def deliver(event) -> None: ...\n", "parameter event has no annotation"),
        (HEAD + "def deliver(event: dict) -> None: ...\n", "must be annotated Event or Sequence[Event]"),
        (HEAD + "def deliver(events: Sequence[str]) -> None: ...\n", "must be annotated Event or Sequence[Event]"),
        (HEAD + "def deliver(event: Event, db: int) -> None: ...\n", "parameter db asks for int"),
        (HEAD + "def deliver(event: Event, *rest: Event) -> None: ...\n", "plain parameters only"),
        (HEAD + "def deliver(event: Event, *, log: Log) -> None: ...\n", "plain parameters only"),
        (HEAD + "def deliver(event: Event) -> bool: ...\n", "must return None"),
        (HEAD + "def deliver(event: Event, http: Http) -> None: ...\n", "works in `async def` alone"),
        (HEAD + "async def deliver(event: Event):\n    yield\n", "deliver is no plain function"),
        (HEAD + "def deliver(event: 'Evnt') -> None: ...\n", "annotation that cannot be read"),
        (HEAD + "LIMITS = {'timeout_s': 1}\n" + GOOD, "LIMITS is dict; write LIMITS = Limits(...)"),
        (HEAD + "LIMITS = Limits(timeout=1)\n" + GOOD, "failed while loading: TypeError"),
        (HEAD + "def limits() -> Limits: ...\n" + GOOD, "limits takes the configuration alone"),
        (HEAD + "def open(): ...\n" + GOOD, "open must be a context manager"),
        (HEAD + "def open() -> Iterator[int]: yield 1\n" + GOOD, "open must be a context manager"),
        (HEAD + "class A(Config): a: int\nclass B(Config): b: int\ndef check(b: B): ...\n"
                "def deliver(event: Event, a: A) -> None: ...\n", "a plug-in has one Config"),
        (HEAD + "class A(Config):\n    sources: int\n    retry: str\ndef deliver(event: Event, a: A) -> None: ...\n",
         "A declares retry, sources, which every destination has already"),
        (HEAD + "class A(Config):\n    batch: bool = True\ndef deliver(event: Event, a: A) -> None: ...\n", "A declares batch"),
        (HEAD + "class A(Config):\n    a: 'Nope'\ndef deliver(event: Event, a: A) -> None: ...\n", "unreadable annotation"),
        ("def deliver(:\n", "line 1: "),
        ('"""Doc."""\nimport no_such_module_at_all\n', "No module named 'no_such_module_at_all' (mine.py line 2)"),
        ('"""Doc."""\n1 / 0\n', "ZeroDivisionError: division by zero (mine.py line 2)"),
        ('"""Doc."""\nimport sys\nsys.exit(3)\n', "failed while loading: SystemExit: 3"),
        ('"""Doc."""\nx = "\0"\n', "mine.py"),
    ],
)  # fmt: skip
def test_every_breach_is_said_in_words(tmp_path: Path, text: str, words: str) -> None:
    modules = set(sys.modules)
    with pytest.raises(PluginFault) as caught:
        load_plugin(write(tmp_path, text))
    assert words in str(caught.value)
    assert str(tmp_path / "mine.py") in str(caught.value)
    assert not [name for name in set(sys.modules) - modules if name.startswith("sternpost_plugin_")]


def test_files_that_are_no_text_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    with pytest.raises(PluginFault, match="cannot be read: No such file"):
        load_plugin(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(PluginFault, match="is not UTF-8 text"):
        load_plugin(path)
    path.write_bytes(b"#" * (1024 * 1024 + 1))
    with pytest.raises(PluginFault, match="is larger than"):
        load_plugin(path)


def test_a_broken_file_never_stops_the_others(tmp_path: Path) -> None:
    write(tmp_path, TEN_LINES, "good")
    write(tmp_path, "raise SystemExit", "leaves")
    write(tmp_path, "(((", "broken")
    plugins, faults = load_all([tmp_path])
    assert set(plugins) == {"good"} and set(faults) == {"broken", "leaves"}


def test_loading_leaves_no_trace_beside_the_file_or_on_the_path(tmp_path: Path) -> None:
    before = list(sys.path)
    load_plugin(write(tmp_path, TEN_LINES))
    assert sys.path == before
    assert [path.name for path in tmp_path.iterdir()] == ["mine.py"]


def test_loading_again_takes_the_new_text_and_leaves_the_old_plugin_alone(tmp_path: Path) -> None:
    old = load_plugin(write(tmp_path, HEAD + GOOD + "X = 1\nclass C(Config): a: int\ndef check(c: C): ...\n"))
    new = load_plugin(write(tmp_path, HEAD + GOOD + "X = 2\nclass C(Config): b: int\ndef check(c: C): ...\n"))
    assert build_config(old, {"a": 1}) is not None
    assert build_config(new, {"b": 1}) is not None


def test_earlier_folders_hide_later_ones_and_odd_files_are_no_plugins(tmp_path: Path) -> None:
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder, GOOD, "same")
    write(tmp_path / "second", GOOD, "other")
    for odd in ("_hidden", "with-dash", "1digit"):
        write(tmp_path / "second", GOOD, odd)
    (tmp_path / "second" / "notes.txt").write_text("")
    found = discover([tmp_path / "first", tmp_path / "missing", tmp_path / "second"])
    assert found == {"same": tmp_path / "first" / "same.py", "other": tmp_path / "second" / "other.py"}


def test_shipped_plugins_are_found_last(tmp_path: Path) -> None:
    folders = plugin_folders(tmp_path, [tmp_path / "more"])
    assert folders == [tmp_path / "plugins", tmp_path / "more", shipped_folder()]
    assert {"webhook", "jsonl", "relay"} <= set(discover(folders))


def test_an_unknown_name_is_answered_with_the_nearest(tmp_path: Path) -> None:
    write(tmp_path, GOOD, "webhook")
    with pytest.raises(PluginFault, match=r'there is no plug-in "webhok" in .*; did you mean "webhook"\?'):
        find_plugin("webhok", [tmp_path])


def test_limits_of_the_configuration_and_of_the_destination(tmp_path: Path) -> None:
    text = HEAD + (
        "class C(Config):\n    many: int = 1\n"
        "def limits(config: C) -> Limits:\n    return Limits(batch_events_max=config.many, timeout_s=3)\n"
        "def deliver(events: Sequence[Event], c: C) -> None: ...\n"
    )
    plugin = load_plugin(write(tmp_path, text))
    config = build_config(plugin, {"many": 40})
    host = DestinationConfig(plugin="mine")
    assert effective_limits(plugin, config, host).batch_events_max == 40
    raised = DestinationConfig(plugin="mine", batch_events_max=500, in_flight_max=2, timeout=9.0, rate_per_s=5.0)
    limits = effective_limits(plugin, config, raised)
    assert (limits.batch_events_max, limits.in_flight_max, limits.timeout_s, limits.rate_per_s) == (40, 2, 9.0, 5.0)
    lowered = DestinationConfig(plugin="mine", batch_events_max=5)
    assert effective_limits(plugin, config, lowered).batch_events_max == 5
    single = load_plugin(write(tmp_path, TEN_LINES))
    url = build_config(single, {"url": "http://x"})
    assert effective_limits(single, url, raised).batch_events_max == 1


@pytest.mark.parametrize(("body", "words"), [("1 / 0", "ZeroDivisionError"), ("return 3", "returned int, not Limits")])
def test_limits_that_fail_are_a_fault(tmp_path: Path, body: str, words: str) -> None:
    text = f"{HEAD}class C(Config): ...\ndef limits(c: C) -> Limits:\n    {body}\ndef deliver(e: Event, c: C) -> None: ...\n"
    plugin = load_plugin(write(tmp_path, text))
    with pytest.raises(PluginFault, match=words):
        plugin.limits_of(build_config(plugin, {}))
