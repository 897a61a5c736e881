"""Sources under an operator's hand, on the real process: paused over a restart, keys rotated while clients send."""

import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.appliance import WRITE_KEY, Appliance, webhook
from tests.support.sink import Sink
from tests.support.wire import Wire

MakeAppliance = Callable[..., Appliance]


def send(appliance: Appliance, message_id: str, key: str = WRITE_KEY) -> Any:
    event = {"type": "track", "event": "E", "userId": "u1", "messageId": message_id}
    with Wire(appliance.port, key) as wire:
        return wire.post("/v1/track", json.dumps(event).encode())


def test_a_paused_source_has_clients_keep_their_events_over_a_restart_too(
    make_appliance: MakeAppliance, make_sink: Callable[..., Sink]
) -> None:
    sink = make_sink()
    appliance = make_appliance(
        {
            "sources": {"web": {"write_key": WRITE_KEY}, "app": {"write_key": "wk_app"}},
            "destinations": {"crm": webhook(sink.url)},
        }
    )
    appliance.start()
    assert appliance.admin("/v1/sources/web/pause", {}) == {"source": "web", "done": "pause"}
    for _ in range(2):
        reply = send(appliance, "m1")
        assert (reply.status, reply.text, reply.headers["retry-after"]) == (503, "source is paused", "30")
        assert send(appliance, "m2", "wk_app").status == 200, "the other one takes events"
        states = {one["name"]: one["state"] for one in appliance.admin("/v1/overview")["sources"]}
        assert states == {"web": "paused", "app": "running"}
        appliance.kill()
        appliance.start()
    assert appliance.admin("/v1/sources/web/resume", {}) == {"source": "web", "done": "resume"}
    assert send(appliance, "m1").status == 200
    sink.wait_accepted({"m1", "m2"})
    appliance.stop()
    appliance.start()
    assert send(appliance, "m3").status == 200
    entries = [(one["what"], one["target"]) for one in reversed(appliance.admin("/v1/audit")["audit"])]
    assert entries == [("source.pause", "web"), ("source.resume", "web")]


def test_a_reload_keeps_a_pause_and_a_key_of_the_file_is_rotated_there(make_appliance: MakeAppliance) -> None:
    appliance = make_appliance({})
    appliance.start()
    appliance.admin("/v1/sources/web/pause", {})
    with pytest.raises(urllib.error.HTTPError) as caught:
        appliance.admin("/v1/sources/web/rotate-key", {})
    refused = json.load(caught.value)["error"]
    assert caught.value.code == 409 and refused["code"] == "refused"
    assert str(appliance.config_path) in refused["message"] and "previous_write_key" in refused["message"]
    appliance.config["sources"]["web"] = {"write_key": "wk_new", "previous_write_key": WRITE_KEY}
    appliance.write_config()
    diff = {one["key"] for one in appliance.admin("/v1/config/diff")["changes"]}
    assert diff == {"sources.web.write_key", "sources.web.previous_write_key"}
    appliance.admin("/v1/reload", {})
    assert send(appliance, "m1", "wk_new").status == 503
    appliance.admin("/v1/sources/web/resume", {})
    assert {send(appliance, f"m{key}", key).status for key in ("wk_new", WRITE_KEY)} == {200}
    past = {"previous_write_key_until": "2020-01-01T00:00:00Z"}
    appliance.config["sources"]["web"] |= past
    appliance.write_config()
    appliance.admin("/v1/reload", {})
    assert (send(appliance, "m2", "wk_new").status, send(appliance, "m3", WRITE_KEY).status) == (200, 401)


def test_a_generated_key_is_rotated_and_the_old_one_holds_over_a_restart(make_appliance: MakeAppliance) -> None:
    appliance = make_appliance({})
    del appliance.config["sources"]
    appliance.start()
    old = appliance.admin("/v1/sources/default/key")["write_key"]
    before_ms = time.time() * 1000
    rotated = appliance.admin("/v1/sources/default/rotate-key", {})
    new = rotated["write_key"]
    assert new != old and rotated["name"] == "default"
    assert 86_390_000 < rotated["old_valid_until_ms"] - before_ms < 86_410_000
    for _ in range(2):
        assert (send(appliance, "m1", old).status, send(appliance, "m2", new).status) == (200, 200)
        assert send(appliance, "m3", "wk_other").status == 401
        assert appliance.json("keys")[0]["write_key"] == new
        appliance.kill()
        appliance.start()


def test_tokens_come_and_go_with_a_reload(make_appliance: MakeAppliance, tmp_path: Path) -> None:
    token = tmp_path / "eve.token"
    token.write_text("a-token-of-eve-the-viewer\n")
    appliance = make_appliance({})
    appliance.start()

    def status() -> int:
        request = urllib.request.Request(f"{appliance.control_url}/v1/whoami")
        request.add_header("Authorization", "Bearer a-token-of-eve-the-viewer")
        try:
            with urllib.request.urlopen(request, timeout=10) as reply:
                return int(reply.status)
        except urllib.error.HTTPError as error:
            return error.code

    assert (appliance.admin("/v1/whoami")["name"], status()) == ("admin", 401)
    appliance.config["control"]["tokens"] = {"eve": {"token": f"file:{token}"}}
    appliance.write_config()
    assert appliance.admin("/v1/reload", {})["changes"] == ["tokens of the admin API changed"]
    assert status() == 200
    del appliance.config["control"]["tokens"]
    appliance.write_config()
    appliance.admin("/v1/reload", {})
    assert status() == 401


def test_tokens_that_are_short_shared_or_misnamed_are_faults(make_appliance: MakeAppliance) -> None:
    env = {"T_A": "long-enough-to-be-a-token", "T_SHORT": "short"}
    tokens = {
        "a": {"token": "env:T_A"},
        "b": {"token": "env:T_A"},
        "c": {"token": "env:T_SHORT"},
        "admin": {"token": "literal", "role": "owner"},
    }
    appliance = make_appliance({"control": {"tokens": tokens}}, env=env)
    appliance.write_config()
    done: subprocess.CompletedProcess[str] = appliance.sternpost("check")
    assert done.returncode == 2
    said = done.stdout + done.stderr
    for words in (
        'control.tokens.b.token: is the token of "a" too',
        "control.tokens.c.token: is shorter than 16 characters",
        "control.tokens.admin: is no name for a token",
        "control.tokens.admin.token: a secret is given as env:NAME or file:PATH",
        'control.tokens.admin.role: expected "viewer" or "operator" or "admin"',
    ):
        assert words in said, said
    assert "long-enough" not in said
