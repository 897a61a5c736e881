"""What is printed to be pasted: addresses, quoting, the words of the banner."""

import json
import shlex
from pathlib import Path

import msgspec
import pytest

from appliance.cli import snippets
from appliance.core.config import CollectConfig, Config, DestinationConfig, SourceConfig, TlsConfig
from appliance.core.secret import Secret

URL, KEY = "http://127.0.0.1:8080", "wk_'$(x)"


@pytest.mark.parametrize(
    ("collect", "bound", "expected"),
    [
        (CollectConfig(), None, "http://127.0.0.1:8080"),
        (CollectConfig(listen="127.0.0.1:0"), ("127.0.0.1", 41234), "http://127.0.0.1:41234"),
        (CollectConfig(listen="0.0.0.0:80"), None, "http://127.0.0.1:80"),
        (CollectConfig(listen="[::]:80"), None, "http://[::1]:80"),
        (CollectConfig(listen="[fe80::1]:80"), ("fe80::1", 80), "http://[fe80::1]:80"),
        (CollectConfig(tls=TlsConfig(certificate=Path("a"), key=Path("b"))), None, "https://127.0.0.1:8080"),
        (CollectConfig(public_url="https://events.example/x/"), ("127.0.0.1", 1), "https://events.example/x"),
    ],
)
def test_how_clients_reach_the_collector(collect: CollectConfig, bound: tuple[str, int] | None, expected: str) -> None:
    assert snippets.collect_url(Config(collect=collect), bound) == expected


def test_curl_survives_any_key() -> None:
    words = shlex.split(snippets.curl(URL, KEY))
    assert words[words.index("-u") + 1] == KEY + ":"
    assert json.loads(words[words.index("-d") + 1])["userId"] == "user-1"
    assert words[-1] == URL + "/v1/track"


def test_the_banner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = Config(
        sources={
            "off": SourceConfig(write_key=Secret("wk_off"), enabled=False),
            "web": SourceConfig(write_key=Secret("wk_web")),
        },
        destinations={
            "files": DestinationConfig(plugin="jsonl", options={"folder": "data/my out"}),
            "packed": DestinationConfig(plugin="jsonl", options={"folder": "/elsewhere", "zstd": True}),
            "idle": DestinationConfig(plugin="jsonl", enabled=False, options={"folder": "idle"}),
            "crm": DestinationConfig(plugin="webhook", options={"url": "x"}),
            "tables": DestinationConfig(plugin="duckdb", options={"path": "x.duckdb"}),
        },
    )
    text = snippets.banner(config, ("127.0.0.1", 8080), Path(), "bin/sternpost --data d")
    assert text.startswith("Sternpost is ready: send events to http://127.0.0.1:8080\n")
    assert f"\n  {snippets.curl(URL, 'wk_web')}\n" in text
    assert "\n  tail -qn 1 'data/my out'/*.jsonl\n  zstdcat /elsewhere/*.zst | tail -n 1\n" in text
    for part in (snippets.browser(URL, "wk_web"), snippets.python(URL, "wk_web"), snippets.node(URL, "wk_web")):
        assert part.replace("\n", "\n  ") in text
    assert "\n  bin/sternpost --data d status\n" in text
    assert "\nAsk the warehouse:\n  bin/sternpost --data d query 'SELECT event_text, " in text
    assert "wk_off" not in text and "idle" not in text


def test_a_banner_with_nothing_to_paste() -> None:
    text = snippets.banner(Config(), ("", 0), Path(), "sternpost")
    assert "nothing listens on 127.0.0.1:8080" in text
    text = snippets.banner(Config(), ("127.0.0.1", 8080), Path(), "sternpost")
    assert "No source is enabled" in text


def test_snippets_of_a_source_name_it() -> None:
    config = msgspec.structs.replace(Config(), sources={"web": SourceConfig(write_key=Secret("wk_web"))})
    text = snippets.for_source("web", snippets.collect_url(config), "wk_web")
    assert text.startswith("source web, write key wk_web\n") and text.count("wk_web") == 5
