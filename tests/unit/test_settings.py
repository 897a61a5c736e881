"""The configuration file: what it becomes, and every fault with its line, key and suggestion."""

import os
import stat
from pathlib import Path

import pytest

from appliance.core.errors import ConfigError
from appliance.core.settings import Loaded, default_config, host_key_hint, load, load_or_default

SOURCE = '[sources.web]\nwrite_key = "wk_example"\n'


def read(tmp_path: Path, text: str) -> Loaded:
    path = tmp_path / "sternpost.toml"
    path.write_text(text, encoding="utf-8")
    return load(path, tmp_path / "data")


def faults_of(tmp_path: Path, text: str) -> list[tuple[int, str, str]]:
    """(line, key, message with hint) of every fault."""
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    assert all(fault.file.endswith("sternpost.toml") for fault in caught.value.faults)
    return [
        (fault.line, fault.key, fault.message + (f" ({fault.hint})" if fault.hint else ""))
        for fault in caught.value.faults
    ]


def test_the_example_of_the_design(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        """
[collect]
listen = "127.0.0.1:8080"
[control]
listen = "127.0.0.1:8081"
[wal]
disk_bytes_max = "4 GiB"
retention = "24h"
[sources.web]
write_key = "wk_example"
[destinations.crm]
plugin = "webhook"
url = "http://127.0.0.1:9000/events"
sources = ["web"]
[destinations.crm.headers]
X-Team = "a"
[destinations.crm.retry]
attempts_max = 50
age_max = "3d"
""",
    ).config
    assert config.wal.disk_bytes_max == 4 << 30
    assert config.wal.retention == 86_400.0
    assert config.sources["web"].write_key.reveal() == "wk_example"
    crm = config.destinations["crm"]
    assert crm.sources == ["web"]
    assert (crm.retry.attempts_max, crm.retry.age_max, crm.retry.delay_min) == (50, 259_200.0, 1.0)
    assert crm.options == {"url": "http://127.0.0.1:9000/events", "headers": {"X-Team": "a"}}


def test_every_fault_at_once(tmp_path: Path) -> None:
    found = faults_of(
        tmp_path,
        """
[colect]
[collect]
lisen = "127.0.0.1:8080"
listen = "8080"
body_bytes_max = "4 GX"
trusted_proxies = [
  "10.0.0.0/8",
  "ten",
]
[wal]
retention = -1
high_water = 2
on_full = "rejekt"
[sources.web]
write_key = "abc"
[sources.app]
write_key = "abc"
tpe = 1
[destinations.crm]
plugn = "webhook"
[destinations.erp]
plugin = "webhook"
sources = ["web",
           "webb"]
start = 2030-01-01
[destinations.erp.retry]
attempts_max = 0
age_max = "3 fortnights"
delay_min = 500
""",
    )
    expected = [
        (2, "colect", 'unknown key (did you mean "collect"?)'),
        (4, "collect.lisen", 'unknown key (did you mean "listen"?)'),
        (5, "collect.listen", '"8080" is no address'),
        (6, "collect.body_bytes_max", '"4 GX" is no size'),
        (9, "collect.trusted_proxies[1]", '"ten" is no network'),
        (12, "wal.retention", "must be at least 0"),
        (13, "wal.high_water", "must be at most 1"),
        (14, "wal.on_full", 'did you mean "reject"?'),
        (18, "sources.app.write_key", 'is the write key of source "web" too'),
        (19, "sources.app.tpe", 'did you mean "type"?'),
        (21, "destinations.crm.plugn", 'did you mean "plugin"?'),
        (25, "destinations.erp.sources[1]", 'there is no source "webb" (did you mean "web"?)'),
        (26, "destinations.erp.start", "is no start"),
        (28, "destinations.erp.retry.attempts_max", "must be at least 1"),
        (29, "destinations.erp.retry.age_max", '"3 fortnights" is no duration'),
        (30, "destinations.erp.retry.delay_min", "delay_min (500) is more than delay_max (300)"),
    ]
    assert [(line, key) for line, key, _ in found] == [(line, key) for line, key, _ in expected]
    for (_, key, message), (_, _, words) in zip(found, expected, strict=True):
        assert words in message, key


FAULTS = [
    ("text for a number", SOURCE + "rate_per_s = \"5\"", 3, "sources.web.rate_per_s", 'expected a number, got "5"'),
    ("true for a number", "[collect]\ndepth_max = true", 2, "collect.depth_max", "expected a whole number, got true"),
    ("fraction for a count", "[collect]\ndepth_max = 1.5", 2, "collect.depth_max", "expected a whole number, got 1.5"),
    ("infinity", "[wal]\nretention = inf", 2, "wal.retention", "expected a duration"),
    ("an endless integer", f"[wal]\nretention = 1{'0' * 400}", 2, "wal.retention", "expected a duration"),
    ("a large integer", f"[wal]\ndisk_bytes_max = 1{'0' * 40}", 2, "wal.disk_bytes_max", "a number beyond all bounds"),
    ("a value for a table", "collect = 3", 1, "collect", "expected a table, got 3 (write [collect])"),
    ("a list for a table", "[[sources]]\nwrite_key='a'", 1, "sources", "expected a table of names"),
    ("a value for a source", "[sources]\nweb = 'x'", 2, "sources.web", "expected a table"),
    ("a value for all destinations", "destinations = 3", 1, "destinations", "expected a table of names, got 3"),
    ("a value for a destination", "[destinations]\ncrm = 3", 2, "destinations.crm", "expected a table"),
    ("a missing key", "[sources.web]\nenabled = true", 1, "sources.web.write_key", "is missing"),
    ("no plug-in", "[destinations.crm]\nurl = 'x'", 1, "destinations.crm.plugin", "is missing"),
    ("a path as plug-in", "[destinations.crm]\nplugin = '../x.py'", 2, "destinations.crm.plugin", "without folder and .py"),
    ("a strange name", "[sources.'a b']\nwrite_key = 'x'", 1, 'sources."a b"', "is no name"),
    ("an empty selection", SOURCE + "[destinations.a]\nplugin='x'\nsources=[]", 5, "destinations.a.sources", "selects no source"),
    ("text for a list", SOURCE + "origins = 'x'", 3, "sources.web.origins", 'expected a list, got "x"'),
    ("an origin with a path", SOURCE + "origins = ['https://a.b/c']", 3, "sources.web.origins[0]", "is no origin"),
    ("one port twice", "[collect]\nlisten='0.0.0.0:80'\n[control]\nlisten='127.0.0.1:80'", 4, "control.listen", "uses port 80"),
    ("the default port twice", "[control]\nlisten='127.0.0.1:8080'", 2, "control.listen", "uses port 8080"),
    ("a missing certificate", "[collect.tls]\ncertificate='a.pem'\nkey='/etc/hostname'", 2, "collect.tls.certificate", "cannot be read"),
    ("a missing folder", "[plugins]\nfolders = ['nowhere']", 2, "plugins.folders[0]", '"nowhere" is not a folder'),
    ("dedup bounds crossed", "[wal]\ndedup_ids_max = 10", 2, "wal.dedup_ids_max", "dedup_ids_min (200000) is more than"),
    ("a colon in a write key", "[sources.web]\nwrite_key='a:b'", 2, "sources.web.write_key", "without spaces and colons"),
    ("an empty write key", "[sources.web]\nwrite_key=''", 2, "sources.web.write_key", "1 to 200 printable"),
    ("an unset variable", "[sources.web]\nwrite_key='env:STERNPOST_NOT_SET'", 2, "sources.web.write_key", "STERNPOST_NOT_SET is not set"),
    ("nobody's home", "[sources.web]\nwrite_key='file:~nobody-at-all/x'", 2, "sources.web.write_key", "home"),
    ("U+0000 in a path", "[plugins]\nfolders = ['a\\u0000b']".replace("'", '"'), 2, "plugins.folders[0]", "U+0000"),
    ("broken syntax", "[collect]\nlisten = 127.0.0.1:80", 2, "syntax", ""),
    ("a bare path", "[control.tls]\nkey = /etc/x.pem", 2, "syntax", "text stands in quotes"),
    ("a bare word", "[logs]\nlevel = info", 2, "syntax", "text stands in quotes"),
    ("an unclosed string", 'a = """\n\n', 3, "syntax", ""),
    ("a key twice", "[wal]\n[wal]", 2, "syntax", ""),
    ("nesting without end", "a = " + "[" * 100_000, 0, "syntax", "nested too deep"),
    ("a type of id misspelt", "[identity.ids.userId]\nmost = 2", 1, "identity.ids.userId", 'did you mean "user_id"? one of your own needs `paths`'),
    ("letters of a type exchanged", "[identity.ids.emial]\nmost = 2", 1, "identity.ids.emial", 'did you mean "email"?'),
    ("a key of a type misspelt", "[identity.ids.email]\nblokced = []", 2, "identity.ids.email.blokced", 'did you mean "blocked"?'),
    ("an unknown normaliser", "[identity.ids.email]\nnormalise = 'lowr'", 2, "identity.ids.email.normalise", 'did you mean "lower"?'),
    ("a strange type of id", "[identity.ids.'a b']\nmost = 2", 1, 'identity.ids."a b"', "is no name"),
    ("no place in an event", "[identity.ids.card]\npaths = ['context..card']", 2, "identity.ids.card.paths[0]", "is no place in an event"),
    ("a quote in a path", "[identity.ids.card]\npaths = ['a\"b']", 2, "identity.ids.card.paths[0]", "is no place in an event"),
    ("no calling code", "[identity]\nphone_country = '+44'", 2, "identity.phone_country", 'its digits alone, such as "44"'),
    ("a value for a type of id", "[identity.ids]\nemail = 3", 2, "identity.ids.email", "expected a table"),
    ("a value for identity", "identity = 3", 1, "identity", "expected a table, got 3 (write [identity])"),
    ("nothing shared after none", "[identity]\nshared_after = 0", 2, "identity.shared_after", "must be at least 1"),
    ("too deep for anybody", "a" + ".a" * 200 + " = 1", 1, "a.a.a.a", "nested more than"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "line", "key", "words"), [case[1:] for case in FAULTS], ids=[case[0] for case in FAULTS]
)
def test_a_fault(tmp_path: Path, text: str, line: int, key: str, words: str) -> None:
    found = faults_of(tmp_path, text)
    assert [(one_line, one_key) for one_line, one_key, _ in found] == [(line, key)]
    assert words in found[0][2]


def test_rules_of_identity(tmp_path: Path) -> None:
    """Keys that are left out are None, "as the type is by default"; 0 is no limit; near names are free with a path."""
    identity = read(
        tmp_path,
        """
[identity]
ids_max = 0
phone_country = "44"
[identity.ids.email]
blocked = ["info@example.com"]
[identity.ids.card]
paths = ["properties.card", "context.traits.loyaltyId"]
normalise = "digits"
window = "90d"
[identity.ids.usersid]
paths = ["properties.sid"]
[identity.ids.liveramp]
most = 0
""",
    ).config.identity
    assert (identity.enabled, identity.shared_after, identity.ids_max, identity.keep_traits) == (True, 3, 0, True)
    assert list(identity.ids) == ["email", "card", "usersid", "liveramp"]
    email, card = identity.ids["email"], identity.ids["card"]
    assert email.blocked == ["info@example.com"]
    assert (email.most, email.unique, email.priority, email.normalise, email.window) == (None,) * 5
    assert (card.paths, card.window) == (["properties.card", "context.traits.loyaltyId"], 90 * 86_400.0)
    assert identity.ids["liveramp"].most == 0


def test_what_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "sternpost.toml"
    path.write_bytes(b"[wal]\n\n\xff = 1\n")
    with pytest.raises(ConfigError, match=r"sternpost\.toml:3: file: is not UTF-8"):
        load(path, tmp_path)
    with pytest.raises(ConfigError, match=r"cannot be read: Is a directory"):
        load(tmp_path, tmp_path)
    with pytest.raises(ConfigError, match=r"cannot be read: No such file or directory \(`sternpost init`"):
        load(tmp_path / "none.toml", tmp_path)


def test_a_byte_order_mark_and_windows_lines_are_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "sternpost.toml"
    path.write_bytes(b"\xef\xbb\xbf[sources.web]\r\nwrite_key = 'a'\r\n")
    loaded = load(path, tmp_path)
    assert loaded.line_of(("sources", "web", "write_key")) == 2


def test_lines_for_those_who_check_later(tmp_path: Path) -> None:
    loaded = read(tmp_path, SOURCE + '[destinations.crm]\nplugin = "webhook"\nurl = "x"\nretri = 1\n')
    assert loaded.line_of(("destinations", "crm", "url")) == 5
    assert loaded.line_of(("destinations", "crm", "never", "there")) == 3
    assert str(loaded.fault(("destinations", "crm", "url"), "is none", "write one")).endswith(
        "sternpost.toml:5: destinations.crm.url: is none (write one)"
    )
    assert loaded.config.destinations["crm"].options == {"url": "x", "retri": 1}
    assert host_key_hint("retri") == 'did you mean "retry"?'


def test_secrets_by_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STERNPOST_TEST_KEY", "from_env")
    (tmp_path / "key").write_text("from_file\n")
    config = read(
        tmp_path,
        """
[sources.a]
write_key = "env:STERNPOST_TEST_KEY"
[sources.b]
write_key = "file:key"
""",
    ).config
    assert config.sources["a"].write_key.reveal() == "from_env"
    assert config.sources["b"].write_key.reveal() == "from_file", "a relative path starts from the file's folder"
    assert "from_env" not in repr(config) and "from_file" not in repr(config)


def test_a_fault_shows_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STERNPOST_TEST_KEY", "hush hush")
    with pytest.raises(ConfigError) as caught:
        read(
            tmp_path,
            "[sources.a]\nwrite_key = 'env:STERNPOST_TEST_KEY'\n[sources.b]\nwrite_key = 'same'\n"
            "[sources.c]\nwrite_key = 'same'\n[sources.d]\nwrite_key = ['inside']\n",
        )
    assert len(caught.value.faults) == 3
    for secret in ("hush", "same", "inside"):
        assert secret not in str(caught.value)


def test_a_file_without_sources_and_destinations_gets_the_defaults(tmp_path: Path) -> None:
    config = read(tmp_path, '[collect]\nlisten = "127.0.0.1:9999"\n').config
    assert config.collect.listen == "127.0.0.1:9999"
    assert list(config.sources) == ["default"] and list(config.destinations) == ["files", "warehouse"]
    assert read(tmp_path, SOURCE).config.destinations == {}, "who names a source decides for himself"


def test_defaults_keep_their_key(tmp_path: Path) -> None:
    data = tmp_path / "data"
    first, second = default_config(data), load_or_default(None, data).config
    key = first.sources["default"].write_key.reveal()
    assert key.startswith("wk_") and len(key) == 35
    assert second.sources["default"].write_key.reveal() == key
    assert stat.S_IMODE((data / "keys.toml").stat().st_mode) == 0o600
    assert os.listdir(data) == ["keys.toml"], "nothing temporary is left"
    assert first.destinations["files"].plugin == "jsonl"
    assert first.destinations["files"].options == {"folder": str(data / "out")}
    warehouse = first.destinations["warehouse"]
    assert (warehouse.plugin, warehouse.start) == ("duckdb", "oldest")
    assert warehouse.options == {"path": str(data / "warehouse" / "warehouse.duckdb")}
    assert default_config(tmp_path / "other").sources["default"].write_key.reveal() != key


def test_a_damaged_key_file_is_named_and_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "keys.toml").write_text("[sources]")
    with pytest.raises(ConfigError, match="holds no key"):
        default_config(tmp_path)
    assert (tmp_path / "keys.toml").read_text() == "[sources]"
