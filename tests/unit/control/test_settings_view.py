"""The configuration as it is shown: where each key stands, what it would be otherwise, and no secret in it."""

import json
from pathlib import Path
from typing import Any

import pytest

from appliance.control.settings_view import _plain
from tests.support import toml
from tests.support.appliance import webhook
from tests.support.room import Room, running

SECRETS = {
    "T_TOKEN": "very-secret-token",
    "T_HEADER": "very-secret-header",
    "T_VIEW": "very-secret-viewer-token",
    "T_KEY": "very-secret-write-key",
}


@pytest.fixture(autouse=True)
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)


def tables() -> dict[str, Any]:
    crm = webhook(
        "http://127.0.0.1:9/events?key=very-secret-query&v=1",
        token="env:T_TOKEN",
        secret_headers={"X-Key": "env:T_HEADER"},
        headers={"X-Plain": "shown", "Authorization": "very-secret-literal"},
        enabled=False,
    )
    return {
        "wal": {"retention": "2h"},
        "sources": {"web": {"write_key": "very-secret-literal-key", "previous_write_key": "env:T_KEY"}},
        "control": {"tokens": {"eve": {"token": "env:T_VIEW"}}},
        "destinations": {"crm": crm},
    }


async def settings(room: Room) -> dict[str, dict[str, Any]]:
    answer = await room.get("/v1/config")
    assert answer["file"] == room.config_file
    return {one["key"]: one for one in answer["settings"]}


async def test_every_key_with_value_default_words_and_line(tmp_path: Path) -> None:
    async with running(tmp_path, tables()) as room:
        found = await settings(room)
        lines = Path(room.config_file).read_text().splitlines()
        retention = found["wal.retention"]
        assert (retention["value"], retention["default"], retention["origin"]) == (7200.0, 86_400.0, "file")
        assert lines[retention["line"] - 1].startswith("retention") and retention["file"] == room.config_file
        assert retention["restart"] is True and "replay" in retention["doc"]
        assert found["identity.enabled"]["restart"] is True and found["identity.shared_after"]["restart"] is False
        untouched = found["wal.on_full"]
        assert (untouched["value"], untouched["origin"], untouched["line"], untouched["file"]) == (
            "reject",
            "default",
            0,
            "",
        )
        method = found["destinations.crm.method"]
        assert (method["value"], method["origin"], method["restart"]) == ("POST", "default", False) and method["doc"]
        assert found["destinations.crm.retry.delay_min"]["value"] == 0.05
        assert found["control.listen"]["restart"] is True and found["control.tokens.eve.role"]["restart"] is False
        assert all(one["doc"] for one in found.values())


async def test_no_secret_shows_wherever_it_stands(tmp_path: Path) -> None:
    async with running(tmp_path, tables()) as room:
        found = await settings(room)
        whole = json.dumps([found, await room.get("/v1/destinations/crm")])
        assert "very-secret" not in whole
        for key in ("destinations.crm.token", "sources.web.write_key", "control.tokens.eve.token"):
            assert found[key]["value"] == "***"
        assert found["destinations.crm.secret_headers"]["value"] == {"X-Key": "***"}
        assert found["destinations.crm.headers"]["value"] == {"X-Plain": "shown", "Authorization": "***"}
        assert found["destinations.crm.url"]["value"] == "http://127.0.0.1:9/events?key=***&v=***"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://ada:pw@proxy:3128", "http://***@proxy:3128"),
        ("https://h/p?token=t&flag&empty=", "https://h/p?token=***&flag&empty"),
        ("https://h/p#key", "https://h/p"),
        ("plain words, a=b", "plain words, a=b"),
        ("http://[broken?x=y", "***"),
    ],
)
def test_an_address_shows_no_login_and_no_query(text: str, shown: str) -> None:
    assert _plain(text, False, "url") == shown


async def test_the_diff_is_what_a_reload_would_do_and_masks_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, tables()) as room:
        assert (await room.get("/v1/config/diff"))["changes"] == []
        changed = tables()
        changed["wal"]["retention"] = "3h"
        changed["destinations"]["crm"]["enabled"] = True
        changed["destinations"]["crm"]["token"] = "env:T_HEADER"
        changed["destinations"]["files"] = {"plugin": "jsonl", "folder": "out"}
        del changed["control"]
        Path(room.config_file).write_text(toml.dumps(changed))
        answer = await room.get("/v1/config/diff")
        changes = {one["key"]: one for one in answer["changes"]}
        assert answer["faults"] == [] and "very-secret" not in json.dumps(answer)
        assert changes["wal.retention"] == {
            "key": "wal.retention",
            "running": 7200.0,
            "file": 10_800.0,
            "restart": True,
        }
        enabled = {"key": "destinations.crm.enabled", "running": False, "file": True, "restart": False}
        assert changes["destinations.crm.enabled"] == enabled
        assert (changes["destinations.crm.token"]["running"], changes["destinations.crm.token"]["file"]) == (
            "***",
            "***",
        )
        assert changes["destinations.files.plugin"]["running"] is None
        assert changes["control.tokens.eve.role"]["file"] is None
        assert "wal.on_full" not in changes and "destinations.crm.url" not in changes


async def test_the_diff_of_a_bad_file_is_its_faults(tmp_path: Path) -> None:
    async with running(tmp_path, tables()) as room:
        wrong = tables()
        wrong["wal"]["retention"] = "soon"
        wrong["wal"]["colour"] = "red"
        Path(room.config_file).write_text(toml.dumps(wrong))
        answer = await room.get("/v1/config/diff")
        assert answer["changes"] == []
        assert sorted(one["key"] for one in answer["faults"]) == ["wal.colour", "wal.retention"]
        assert all(one["line"] > 0 and one["message"] for one in answer["faults"])
        Path(room.config_file).write_text("[wal\n")
        assert [one["key"] for one in (await room.get("/v1/config/diff"))["faults"]] == ["syntax"]
