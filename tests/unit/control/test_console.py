"""The console's door on the real admin listener: who comes in, what the child is given, and that it ends."""

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import msgspec
import pytest
from yarl import URL

from tests.support.console import command, lives, pids
from tests.support.room import Room, running

HTML = "text/html; charset=utf-8"


@asynccontextmanager
async def opened(folder: Path, **control: Any) -> AsyncIterator[tuple[Room, Path]]:
    """A room whose console is the tiny one, and where that writes."""
    told = folder / "told"
    told.mkdir()
    async with running(folder, {"control": control}) as room:
        room.control.console.command = command(told)
        yield room, told


def browser(room: Room) -> aiohttp.ClientSession:
    """A browser of its own; it keeps cookies for an address without a name as well."""
    return aiohttp.ClientSession(room.url, cookie_jar=aiohttp.CookieJar(unsafe=True))


async def signed_in(room: Room, http: aiohttp.ClientSession) -> None:
    form = {"token": room.token}
    async with http.post("/console/login", data=form, headers={"Origin": room.url}) as reply:
        assert reply.status == 200 and reply.url.path == "/console"


async def window(room: Room, http: aiohttp.ClientSession) -> aiohttp.ClientWebSocketResponse:
    """A terminal of 90 x 30, once its first bytes were drawn."""
    websocket = await http.ws_connect("/console/ws?width=90&height=30", headers={"Origin": room.url})
    seen = ""
    async with asyncio.timeout(20):
        while "The console is here" not in seen:
            message = await websocket.receive()
            assert message.type is aiohttp.WSMsgType.BINARY, message
            seen += message.data.decode()
    return websocket


async def until(what: Callable[[], Any], timeout_s: float = 15.0) -> Any:
    async with asyncio.timeout(timeout_s):
        while not (found := what()):
            await asyncio.sleep(0.03)
    return found


async def test_a_stranger_gets_the_form_and_nothing_else(tmp_path: Path) -> None:
    async with opened(tmp_path) as (room, _), browser(room) as http:
        async with http.get("/console") as reply:
            text = await reply.text()
            assert reply.status == 401 and reply.headers["Content-Type"] == HTML and 'name="token"' in text
            assert reply.headers["Cache-Control"] == "no-store" and "Set-Cookie" not in reply.headers
            policy = reply.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
            assert not re.search(r"(?:https?:)?//\w", text) and "<script" not in text
        for path in ("/console?ticket=", "/console?ticket=wrong", "/console/download/key"):
            async with http.get(path) as reply:
                assert reply.status == 401, path
        bearer = {"Authorization": f"Bearer {room.token}"}
        async with http.get("/console", headers=bearer) as reply:
            assert reply.status == 401, "a page of another site could make a browser send the header"
        for path in (
            "/console/nothing",
            "/console/../v1/overview",
            "/console/%2e%2e/v1/overview",
            "/console//v1/audit",
        ):
            async with http.get(URL(room.url + path, encoded=True)) as reply:
                assert reply.status in (401, 404), path
        async with http.get("/console", headers={"Host": "evil.example"}) as reply:
            assert reply.status == 421
        with pytest.raises(aiohttp.WSServerHandshakeError, match="401"):
            await http.ws_connect("/console/ws", headers={"Origin": room.url})


async def test_the_token_opens_a_session_by_a_cookie_that_no_script_reads(tmp_path: Path) -> None:
    async with opened(tmp_path) as (room, _), browser(room) as http:
        sent = {"data": {"token": room.token + "\n"}, "headers": {"Origin": room.url}, "allow_redirects": False}
        async with http.post("/console/login", **sent) as reply:
            assert (reply.status, reply.headers["Location"]) == (303, "/console")
            cookie = reply.headers["Set-Cookie"]
            name, _, value = cookie.partition(";")[0].partition("=")
            assert name == f"sternpost_console_{room.url.rpartition(':')[2]}" and len(value) >= 43
            assert {"HttpOnly", "Path=/console", "SameSite=Strict"} == set(cookie.split("; ")[1:])
            assert room.token not in cookie
        async with http.get("/console") as reply:
            text = await reply.text()
            assert reply.status == 200 and f"ws://{room.url.removeprefix('http://')}/console/ws" in text
            assert reply.headers["Cache-Control"] == "no-store"
            assert not re.search(r"(?:src|href)=\"(?:https?:)?//", text) and room.token not in text
            policy = reply.headers["Content-Security-Policy"]
            assert "script-src 'self';" in policy and "default-src 'none'" in policy
        names = re.findall(r"/console/static/([\w.-]+)", text)
        async with http.get("/console/static/console.css") as reply:
            names += re.findall(r'url\("([^"]+)"', await reply.text())
        assert len(names) >= 5
        for name in names:
            async with http.get(f"/console/static/{name}") as reply:
                assert reply.status == 200 and await reply.read(), name
        async with http.get("/console/static/..%2fserver.py") as reply:
            assert reply.status == 404


async def test_a_new_link_is_made_for_who_has_a_token(tmp_path: Path) -> None:
    async with opened(tmp_path) as (room, _), browser(room) as http:
        await signed_in(room, http)
        for headers in ({}, {"Origin": room.url}, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer "}):
            async with http.post("/console/link", headers=headers) as reply:
                assert reply.status == 401, "a cookie makes no links"
        async with http.post("/console/link", headers={"Authorization": f"Bearer {room.token}"}) as reply:
            assert reply.status == 200 and (await reply.json())["valid_s"] == 600


async def test_signing_out_ends_session_and_windows(tmp_path: Path) -> None:
    async with opened(tmp_path) as (room, _), browser(room) as http:
        await signed_in(room, http)
        async with http.post("/console/logout", headers={"Origin": "http://evil.example"}) as reply:
            assert reply.status == 403
        async with http.get("/console") as reply:
            assert reply.status == 200
        kept = {cookie.key: cookie.value for cookie in http.cookie_jar}
        async with http.post("/console/logout", headers={"Origin": room.url}) as reply:
            assert reply.status == 200
        async with http.get("/console", cookies=kept) as reply:
            assert reply.status == 401


@pytest.mark.parametrize("origin", [None, "null", "http://evil.example", "http://127.0.0.1:1"])
async def test_other_origins_come_in_neither_by_form_nor_by_socket(tmp_path: Path, origin: str | None) -> None:
    headers = {} if origin is None else {"Origin": origin}
    async with opened(tmp_path) as (room, told), browser(room) as http:
        form = {"token": room.token}
        async with http.post("/console/login", data=form, headers=headers, allow_redirects=False) as reply:
            assert reply.status == 403 and "Set-Cookie" not in reply.headers
        await signed_in(room, http)
        with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
            await http.ws_connect("/console/ws", headers=headers)
        assert pids(told) == []


async def test_wrong_tokens_are_slowed_down(tmp_path: Path) -> None:
    async with opened(tmp_path) as (room, _), browser(room) as http:
        origin = {"Origin": room.url}
        for wrong in (
            "",
            "wrong",
            room.token[:-1],
            room.token + "x",
            "é",
            "\x00",
            "x" * 5000,
            room.token[::-1],
            " ",
            "y",
        ):
            async with http.post("/console/login", data={"token": wrong}, headers=origin) as reply:
                assert reply.status == 401 and "Set-Cookie" not in reply.headers, wrong
        async with http.post("/console/login", data={"token": room.token}, headers=origin) as reply:
            assert reply.status == 429 and 0 < int(reply.headers["Retry-After"]) <= 60
        async with http.get(room.control.console.link()) as reply:
            assert reply.status == 200, "the link opens all the same"


async def test_a_link_opens_once(tmp_path: Path) -> None:
    async with opened(tmp_path) as (room, _):
        link = room.control.console.link()
        assert link.startswith(f"{room.url}/console?ticket=")
        async with browser(room) as http, http.head(link) as reply:
            assert reply.status == 405, "a look at a link must not use it up"
        async with browser(room) as http:
            async with http.get(link) as reply:
                text = await reply.text()
                assert (
                    reply.status == 200
                    and 'content="0;url=/console"' in text
                    and "HttpOnly" in reply.headers["Set-Cookie"]
                )
                assert reply.headers["Cache-Control"] == "no-store"
            async with http.get("/console") as reply:
                assert reply.status == 200 and "textual-terminal" in await reply.text()
        async with browser(room) as http, http.get(link) as reply:
            assert reply.status == 401 and "Set-Cookie" not in reply.headers
            assert "used already" in await reply.text()


async def test_a_window_draws_takes_keys_and_its_child_is_given_little(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRM_PASSWORD", "secret of the configuration")
    monkeypatch.setenv("STERNPOST_TOKEN", "of somebody else")
    async with opened(tmp_path) as (room, told), browser(room) as http:
        await signed_in(room, http)
        websocket = await window(room, http)
        (pid,) = pids(told)
        fact = json.loads((told / f"{pid}.json").read_text())
        assert fact["token"] == [room.token + "\n"] * 2
        assert fact["arguments"][2:5] == [room.url, "--data", str(room.data)] and room.token not in json.dumps(
            fact["arguments"]
        )
        command_line = Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes()
        assert room.token.encode() not in command_line
        environment = fact["environment"]
        assert set(environment) <= {
            "PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TERM", "COLORTERM", "COLUMNS", "ROWS", "LINES", "PYTHONUNBUFFERED",
            "PYTHONSAFEPATH", "TERM_PROGRAM", "TERM_PROGRAM_VERSION", "TEXTUAL_DRIVER", "TEXTUAL_COLOR_SYSTEM", "TEXTUAL_FPS",
        }  # fmt: skip
        assert (environment["COLUMNS"], environment["ROWS"]) == ("90", "30")
        await websocket.send_json(["stdin", "x"])
        await until(lambda: (told / f"{pid}.keys").exists() and "x" in (told / f"{pid}.keys").read_text())
        for nonsense in (
            "",
            "{",
            "[]",
            "5",
            '["stdin"]',
            '["stdin",5]',
            '["resize",{"width":"x","height":-1}]',
            '["?",1]',
        ):
            await websocket.send_str(nonsense)
        await websocket.send_json(["ping", "7"])
        async with asyncio.timeout(5):
            while (message := await websocket.receive()).type is not aiohttp.WSMsgType.TEXT:
                assert message.type is aiohttp.WSMsgType.BINARY, message
        assert message.json() == ["pong", "7"] and lives(pid)
        await websocket.close()
        await until(lambda: not lives(pid))


async def test_a_window_has_the_role_of_the_token_that_opened_it(tmp_path: Path) -> None:
    (tmp_path / "eye").write_text("a token that only looks")
    tokens = {"eye": {"token": f"file:{tmp_path / 'eye'}", "role": "viewer"}}
    async with opened(tmp_path, tokens=tokens) as (room, told), browser(room) as http:
        form = {"token": "a token that only looks"}
        async with http.post("/console/login", data=form, headers={"Origin": room.url}) as reply:
            assert reply.status == 200
        bearer = {"Authorization": "Bearer a token that only looks"}
        async with http.post("/console/link", headers=bearer) as reply:
            made = (await reply.json())["url"]
        http.cookie_jar.clear()
        async with http.get(made) as reply:
            assert reply.status == 200
        websocket = await window(room, http)
        (pid,) = pids(told)
        assert json.loads((told / f"{pid}.json").read_text())["token"] == ["a token that only looks\n"] * 2
        await websocket.close()
        room.control.apply(msgspec.structs.replace(room.loaded().config.control, tokens={}))
        async with http.get("/console") as reply:
            assert reply.status == 401, "a token that was taken away opens nothing any more"


async def test_a_token_that_is_taken_away_takes_its_windows_along_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.control.console.terminal.LOOK_S", 0.05)
    (tmp_path / "eye").write_text("a token that only looks")
    tokens = {"eye": {"token": f"file:{tmp_path / 'eye'}", "role": "viewer"}}
    async with opened(tmp_path, tokens=tokens) as (room, told), browser(room) as eyes, browser(room) as admins:
        form = {"token": "a token that only looks"}
        async with eyes.post("/console/login", data=form, headers={"Origin": room.url}) as reply:
            assert reply.status == 200
        websocket = await window(room, eyes)
        (pid,) = pids(told)
        await signed_in(room, admins)
        other = await window(room, admins)
        room.control.apply(msgspec.structs.replace(room.loaded().config.control, tokens={}))
        async with asyncio.timeout(8):
            await _read_out(websocket)
        assert websocket.close_code == 4000
        await until(lambda: not lives(pid))
        (theirs,) = set(pids(told)) - {pid}
        assert lives(theirs) and not other.closed
        await other.close()


@pytest.mark.parametrize("how", ["closed", "killed"])
async def test_what_a_console_started_ends_with_its_window(tmp_path: Path, how: str) -> None:
    async with opened(tmp_path) as (room, told), browser(room) as http:
        await signed_in(room, http)
        websocket = await window(room, http)
        (pid,) = pids(told)
        await websocket.send_json(["stdin", "g"])
        written = told / f"{pid}.grandchild"
        grandchild = int(await until(lambda: written.exists() and written.read_text()))
        assert lives(grandchild)
        if how == "closed":
            await websocket.close()
        else:
            os.kill(pid, 9)
            await _read_out(websocket)
        await until(lambda: not lives(pid))
        try:
            await until(lambda: not lives(grandchild), timeout_s=8)
        finally:
            if lives(grandchild):
                os.kill(grandchild, 9)


async def window_soon(room: Room, http: aiohttp.ClientSession) -> aiohttp.ClientWebSocketResponse:
    """A window as soon as there is a place: that of a process is free a moment after its end."""
    while True:
        try:
            async with asyncio.timeout(10):
                return await window(room, http)
        except aiohttp.WSServerHandshakeError as refused:
            assert refused.status == 503
            await asyncio.sleep(0.05)


async def test_so_many_windows_and_no_more(tmp_path: Path) -> None:
    async with opened(tmp_path, console_windows_max=2) as (room, told), browser(room) as http:
        await signed_in(room, http)
        first, second = await window(room, http), await window(room, http)
        with pytest.raises(aiohttp.WSServerHandshakeError, match="503"):
            await http.ws_connect("/console/ws", headers={"Origin": room.url})
        async with http.get("/console") as reply:
            assert reply.status == 503 and reply.headers["Retry-After"] == "5"
            text = await reply.text()
            assert "2 windows are open" in text and "console_windows_max" in text
        assert len(pids(told)) == 2
        await first.close()
        await until(lambda: sum(map(lives, pids(told))) == 1)
        third = await window_soon(room, http)
        await third.close()
        await second.close()


async def test_a_window_nobody_uses_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.control.console.terminal.LOOK_S", 0.05)
    async with opened(tmp_path) as (room, told), browser(room) as http:
        clock = room.control.console._clock = SetClock()
        await signed_in(room, http)
        websocket = await window(room, http)
        (pid,) = pids(told)
        for key in "xy":
            clock.now_ms += 3_000_000
            await websocket.send_json(["stdin", key])
            await until(lambda key=key: (told / f"{pid}.keys").exists() and key in (told / f"{pid}.keys").read_text())
        clock.now_ms += 3_599_999
        await asyncio.sleep(0.2)
        assert lives(pid), "an hour after the last key, and not sooner"
        clock.now_ms += 1
        async with asyncio.timeout(8):
            await _read_out(websocket)
        assert websocket.close_code == 4000
        await until(lambda: not lives(pid))
        async with http.get("/console") as reply:
            assert reply.status == 401


async def test_a_file_of_the_console_reaches_its_browser_and_nobody_else(tmp_path: Path) -> None:
    async with opened(tmp_path) as (room, _), browser(room) as http, browser(room) as stranger:
        await signed_in(room, http)
        websocket = await window(room, http)
        await websocket.send_json(["stdin", "d"])
        kind, value = await _told(websocket)
        assert kind == "open_url" and value["url"].startswith("/console/download/")
        async with stranger.get(value["url"]) as reply:
            assert reply.status == 401
        async with http.get(value["url"]) as reply:
            assert reply.status == 200 and await reply.text("utf-8") == "exported, ä"
            assert reply.headers["Content-Disposition"] == 'attachment; filename="ab.ndjson"'
            assert reply.headers["Content-Type"] == "application/octet-stream"
        async with http.get(value["url"]) as reply:
            assert reply.status == 404
        await websocket.close()


async def test_a_file_that_breaks_off_does_not_look_whole(tmp_path: Path) -> None:
    async with opened(tmp_path) as (room, told), browser(room) as http:
        await signed_in(room, http)
        websocket = await window(room, http)
        await websocket.send_json(["stdin", "d"])
        _, value = await _told(websocket)
        (pid,) = pids(told)
        os.kill(pid, 9)
        with pytest.raises(aiohttp.ClientError):
            async with http.get(value["url"]) as reply:
                await reply.read()


async def test_a_console_opens_pages_and_no_scripts(tmp_path: Path) -> None:
    async with opened(tmp_path) as (room, _), browser(room) as http:
        await signed_in(room, http)
        websocket = await window(room, http)
        await websocket.send_json(["stdin", "o"])
        assert await _told(websocket) == ["open_url", {"url": "https://docs.example/page", "new_tab": True}]
        await websocket.close()


@pytest.mark.parametrize(
    "text", ["", "%00", "%ff%fe", "%ed%a0%80", "é" * 9000, "'\"><script>", "a&a=" * 2000, "%", "\u202e", "{}", "-1"]
)
async def test_nothing_that_a_stranger_sends_is_a_fault(tmp_path: Path, text: str) -> None:
    async with opened(tmp_path) as (room, told), browser(room) as http:
        origin = {"Origin": room.url}
        raw = quote(text, safe="%&=")[:3500]
        cookie = {"Cookie": f"sternpost_console_{room.url.rpartition(':')[2]}={quote(text)[:3000]}"}
        async with http.get(URL(f"{room.url}/console?ticket={raw}", encoded=True)) as reply:
            assert reply.status == 401 and "<script>" not in await reply.text()
        async with http.post("/console/login", data=f"token={text}".encode(), headers=origin) as reply:
            assert reply.status == 401
        async with http.get(
            URL(f"{room.url}/console/ws?width={raw}&height={raw}", encoded=True), headers=origin
        ) as reply:
            assert reply.status == 401
        for path in ("/console", "/console/download/x"):
            async with http.get(path, headers=cookie) as reply:
                assert reply.status == 401
        async with http.get(URL(f"{room.url}/console/static/{raw.replace('&', '')}x", encoded=True)) as reply:
            assert reply.status == 404
        assert pids(told) == []


async def test_none_where_none_is_wanted(tmp_path: Path) -> None:
    async with opened(tmp_path, console_windows_max=0) as (room, _), browser(room) as http:
        assert room.control.console.link() == ""
        async with http.get("/console") as reply:
            assert reply.status == 404
        async with http.post("/console/link", headers={"Authorization": f"Bearer {room.token}"}) as reply:
            assert reply.status == 409


@pytest.mark.parametrize("key", ["x", "s"])
async def test_children_end_with_the_listener_even_when_stuck(tmp_path: Path, key: str) -> None:
    async with opened(tmp_path) as (room, told), browser(room) as http:
        await signed_in(room, http)
        websocket = await window(room, http)
        (pid,) = pids(told)
        await websocket.send_json(["stdin", key])
        await until(lambda: (told / f"{pid}.keys").exists() and key in (told / f"{pid}.keys").read_text())
        async with asyncio.timeout(8):
            await asyncio.gather(room.control.stop(), _read_out(websocket))
        assert not lives(pid)


async def test_a_child_that_leaves_closes_its_window(tmp_path: Path) -> None:
    async with opened(tmp_path) as (room, told), browser(room) as http:
        await signed_in(room, http)
        websocket = await window(room, http)
        (pid,) = pids(told)
        os.kill(pid, 9)
        async with asyncio.timeout(8):
            await _read_out(websocket)
        assert websocket.closed


async def test_a_console_that_cannot_start_is_said(tmp_path: Path) -> None:
    async with opened(tmp_path) as (room, _), browser(room) as http:
        room.control.console.command = [str(tmp_path / "nothing")]
        await signed_in(room, http)
        websocket = await http.ws_connect("/console/ws", headers={"Origin": room.url})
        async with asyncio.timeout(8):
            message = await websocket.receive()
        assert message.type is aiohttp.WSMsgType.CLOSE and message.extra == "the console cannot be started"
        async with http.get("/console") as reply:
            assert reply.status == 200, "no window is left open"


class SetClock:
    """A clock that goes when it is told to."""

    now_ms = 0

    def wall_ms(self) -> int:
        return self.now_ms

    def monotonic_ms(self) -> int:
        return self.now_ms


async def _told(websocket: aiohttp.ClientWebSocketResponse) -> Any:
    """The next message that is no drawing."""
    async with asyncio.timeout(15):
        while (message := await websocket.receive()).type is aiohttp.WSMsgType.BINARY:
            continue
    assert message.type is aiohttp.WSMsgType.TEXT, message
    return message.json()


async def _read_out(websocket: aiohttp.ClientWebSocketResponse) -> None:
    async for _ in websocket:
        continue
