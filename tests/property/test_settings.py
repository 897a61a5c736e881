"""Whatever stands in the file: a configuration or a list of faults, never another exception."""

import datetime
import json
import tomllib
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from appliance.core.config import Config
from appliance.core.errors import ConfigError
from appliance.core.settings import load
from appliance.core.toml_lines import key_lines
from tests.unit.test_toml_lines import every_path


def field_names(kind: Any, found: set[str]) -> set[str]:
    """Every key of the configuration, so that random tables come near real ones."""
    for field in msgspec.structs.fields(kind):
        found.add(field.encode_name)
        for part in [field.type, *getattr(field.type, "__args__", ())]:
            if isinstance(part, type) and issubclass(part, msgspec.Struct):
                field_names(part, found)
    return found


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
KEYS = st.sampled_from(sorted(field_names(Config, set()))) | st.sampled_from(["web", "crm", "a b", ""]) | TEXT
TOP = st.sampled_from([field.name for field in msgspec.structs.fields(Config)])
SCALARS = (
    st.booleans() | st.integers() | st.floats() | TEXT
    | st.sampled_from(["now", "4 GiB", "24h", "127.0.0.1:0", "env:HOME", "file:/etc/hostname", "webhook", "10.0.0.0/8"])
    | st.datetimes(max_value=datetime.datetime(9999, 1, 1)) | st.dates() | st.times()
)  # fmt: skip
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)
DOCUMENTS = st.dictionaries(TOP | KEYS, st.dictionaries(KEYS, VALUES, max_size=4) | VALUES, max_size=5)


def written(value: Any) -> str:
    """A value as TOML; tables inline."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{quoted(key)} = {written(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[\n" + ",\n".join(written(item) for item in value) + "]"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return str(value)


def quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def loads_or_faults(folder: Path, content: bytes) -> None:
    path = folder / "sternpost.toml"
    path.write_bytes(content)
    try:
        loaded = load(path, folder / "data")
    except ConfigError as error:
        assert error.faults
        lines = content.count(b"\n") + 1
        for fault in error.faults:
            assert 0 <= fault.line <= lines
            assert fault.message and str(fault)
    else:
        assert isinstance(loaded.config, Config)


@given(content=st.binary() | st.text().map(lambda text: text.encode("utf-8", "replace")))
@example(content=b"a = 1979-13-45")
@example(content=b"a = " + b"9" * 5000)
@example(content=b"a = 1\r")
def test_any_bytes(tmp_path_factory: Any, content: bytes) -> None:
    loads_or_faults(tmp_path_factory.getbasetemp(), content)


@given(document=DOCUMENTS)
@example(document={"sources": {"web": {"write_key": "file:\0"}}})
@example(document={"destinations": {"crm": {"plugin": [], "sources": [[]], "retry": {"delay_min": "x"}}}})
@example(document={"sources": {"web": {"write_key": "~"}}, "plugins": {"folders": ["~no-such-user/x", "\0"]}})
def test_any_document(tmp_path_factory: Any, document: dict[str, Any]) -> None:
    text = "\n".join(f"{quoted(key)} = {written(value)}" for key, value in document.items())
    tomllib.loads(text)  # the generator makes TOML; what follows is about us
    loads_or_faults(tmp_path_factory.getbasetemp(), text.encode())


@given(document=DOCUMENTS)
def test_the_scanner_finds_every_key(document: dict[str, Any]) -> None:
    text = "\n".join(f"{quoted(key)} = {written(value)}" for key, value in document.items())
    lines = key_lines(text)
    assert set(lines) == every_path(tomllib.loads(text))
    assert all(1 <= line <= text.count("\n") + 1 for line in lines.values())
