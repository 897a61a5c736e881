"""A destination's options against its plug-in's Config: every fault at once, in words, no secret shown."""

from pathlib import Path
from typing import Any

import pytest

from appliance.core.errors import ConfigError, Fault
from appliance.deliver.plugins import Plugin, build_config, load_plugin, options_faults

TEXT = '''"""Doc."""
from pathlib import Path
from typing import Literal
from appliance.sdk import Bytes, Config, Count, Event, Seconds, Secret, Url

class Inner(Config):
    depth: int

class Mine(Config):
    url: Url
    folder: Path
    token: Secret | None = None
    mode: Literal["a", "b"] = "a"
    size: Bytes = 10
    wait: Seconds = 1.0
    count: Count = 1
    inner: Inner | None = None
    more: dict[str, Secret] = {}

    def __post_init__(self) -> None:
        if self.count == 13:
            raise ValueError("thirteen is unlucky")
        if self.count == 14:
            raise KeyError("a bug in the plug-in")

def deliver(event: Event, config: Mine) -> None: ...
'''
GOOD = {"url": "https://x.example/hook?a=b", "folder": "out"}


@pytest.fixture
def plugin(tmp_path: Path) -> Plugin:
    (tmp_path / "mine.py").write_text(TEXT)
    return load_plugin(tmp_path / "mine.py")


def faults(plugin: Plugin, options: dict[str, Any]) -> list[Fault]:
    lines = {("destinations", "crm", "url"): 7}
    return options_faults(
        plugin, options, path=("destinations", "crm"), file="sternpost.toml", line_of=lambda path: lines.get(path, 5)
    )


def test_good_options_become_the_plugins_struct(
    plugin: Plugin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRM_TOKEN", "t0ken")
    (tmp_path / "key").write_text("from-file\n")
    options = {
        **GOOD,
        "token": "env:CRM_TOKEN",
        "size": "4 MiB",
        "wait": "2m",
        "inner": {"depth": 3},
        "more": {"X-Key": "file:key"},
    }
    config: Any = build_config(plugin, options, base=tmp_path)
    assert faults(plugin, {**GOOD, "token": "env:CRM_TOKEN"}) == []
    assert config.token.reveal() == "t0ken" and config.more["X-Key"].reveal() == "from-file"
    assert (config.size, config.wait, config.inner.depth) == (4 << 20, 120.0, 3)
    assert config.folder == tmp_path / "out"
    assert "t0ken" not in repr(config) and "from-file" not in repr(config)


def test_every_fault_at_once_with_line_and_suggestion(plugin: Plugin) -> None:
    options = {
        "url": "ftp://x",
        "tokn": "env:A",
        "mode": "c",
        "size": "4 XB",
        "count": 0,
        "inner": {"depht": 1},
        "retyr": {},
    }
    texts = [str(fault) for fault in faults(plugin, options)]
    text = "\n".join(texts)
    for words in (
        "sternpost.toml:7: destinations.crm.url:",
        'destinations.crm.tokn: unknown key (did you mean "token"?)',
        "destinations.crm.mode:",
        "destinations.crm.size:",
        "destinations.crm.count:",
        'destinations.crm.inner.depht: unknown key (did you mean "depth"?)',
        "destinations.crm.inner.depth: is missing",
        "destinations.crm.folder: is missing",
        'destinations.crm.retyr: unknown key (did you mean "retry"?)',
    ):
        assert words in text
    assert len(texts) == 9


def test_secret_literals_are_refused_and_never_shown(plugin: Plugin) -> None:
    found = faults(plugin, {**GOOD, "token": "s3cr3t-literal", "more": {"X-Key": "another-literal"}})
    text = "\n".join(map(str, found))
    assert len(found) == 2
    assert "a secret is given as env:NAME or file:PATH, never as a literal" in text
    assert "s3cr3t" not in text and "another" not in text


def test_a_login_in_an_address_is_refused_and_not_shown(plugin: Plugin) -> None:
    (found,) = faults(plugin, {**GOOD, "url": "https://user:pa55@x.example/"})
    assert "pa55" not in str(found) and "destinations.crm.url" in str(found)


def test_the_plugins_own_checks_are_faults_its_bugs_too(plugin: Plugin) -> None:
    (unlucky,) = faults(plugin, {**GOOD, "count": 13})
    assert "thirteen is unlucky" in str(unlucky)
    (bug,) = faults(plugin, {**GOOD, "count": 14})
    assert "Mine of the plug-in failed: KeyError" in str(bug)


def test_building_from_wrong_options_raises_them_all(plugin: Plugin) -> None:
    with pytest.raises(ConfigError) as caught:
        build_config(plugin, {"mode": 3})
    assert {fault.key for fault in caught.value.faults} == {"url", "folder", "mode"}


def test_a_plugin_without_a_config_takes_no_options(tmp_path: Path) -> None:
    path = tmp_path / "bare.py"
    path.write_text('"""Doc."""\nfrom appliance.sdk import Event\ndef deliver(event: Event) -> None: ...\n')
    bare = load_plugin(path)
    assert faults(bare, {}) == []
    (found,) = faults(bare, {"url": "x"})
    assert found.key == "destinations.crm.url" and found.message == "unknown key"
