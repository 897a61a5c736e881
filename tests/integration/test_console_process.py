"""The console in the browser of the real process: its link is printed, its windows end with it, however it ends."""

import asyncio
import json
import os
import signal
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest

from tests.support.appliance import Appliance
from tests.support.console import link, lives, pids, with_console

MakeAppliance = Callable[..., Appliance]


async def window(http: aiohttp.ClientSession, url: str) -> aiohttp.ClientWebSocketResponse:
    websocket = await http.ws_connect(f"{url}/console/ws", headers={"Origin": url})
    async with asyncio.timeout(20):
        while b"The console is here" not in (await websocket.receive()).data:
            continue
    return websocket


async def gone(pid: int, timeout_s: float) -> None:
    async with asyncio.timeout(timeout_s):
        while lives(pid):
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
async def test_the_printed_link_opens_and_no_window_outlives_the_process(
    make_appliance: MakeAppliance, tmp_path: Path, end: signal.Signals
) -> None:
    appliance, told = await asyncio.to_thread(with_console, make_appliance, tmp_path)
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
        async with http.get(link(appliance)) as reply:
            assert reply.status == 200
        websocket = await window(http, appliance.control_url)
        (pid,) = pids(told)
        fact = json.loads((told / f"{pid}.json").read_text())
        assert "CRM_PASSWORD" not in fact["environment"] and "PYTHONPATH" not in fact["environment"]
        assert fact["token"][0] == (appliance.data / "admin.token").read_text()
        assert appliance.process is not None
        os.kill(appliance.pid, end)
        code = await asyncio.to_thread(appliance.process.wait, 15)
        assert code == (-end if end == signal.SIGKILL else 0)
        await gone(pid, 10.0)
        await websocket.close()


async def test_a_new_link_from_the_shell(make_appliance: MakeAppliance, tmp_path: Path) -> None:
    appliance, _ = await asyncio.to_thread(with_console, make_appliance, tmp_path)
    printed = await asyncio.to_thread(appliance.sternpost, "console")
    assert printed.returncode == 0, printed.stderr
    for expected in (200, 401):
        async with aiohttp.ClientSession() as http, http.get(printed.stdout.strip()) as reply:
            assert reply.status == expected


async def test_a_window_that_is_cut_off_ends_its_child(make_appliance: MakeAppliance, tmp_path: Path) -> None:
    appliance, told = await asyncio.to_thread(with_console, make_appliance, tmp_path)
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
        async with http.get(link(appliance)) as reply:
            assert reply.status == 200
        websocket = await window(http, appliance.control_url)
        (pid,) = pids(told)
        assert websocket._response.connection is not None and websocket._response.connection.transport is not None
        websocket._response.connection.transport.abort()
        await gone(pid, 10.0)
    assert appliance.alive


async def test_over_tls_the_cookie_is_for_tls_alone(make_appliance: MakeAppliance, tmp_path: Path) -> None:
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
         "/CN=admin.example", "-keyout", str(key), "-out", str(certificate)], capture_output=True)  # fmt: skip
    assert made.returncode == 0, made.stderr
    tls = {"certificate": str(certificate), "key": str(key)}
    appliance, told = await asyncio.to_thread(with_console, make_appliance, tmp_path, {"control": {"tls": tls}})
    url = appliance.control_url.replace("http:", "https:")
    trusting = ssl.create_default_context(cafile=str(certificate))
    trusting.check_hostname = False
    connector = aiohttp.TCPConnector(ssl=trusting)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
        printed = await asyncio.to_thread(link, appliance)
        assert printed.startswith(f"{url}/console?ticket=")
        async with http.get(printed) as reply:
            assert reply.status == 200
            assert {"HttpOnly", "Secure", "SameSite=Strict"} <= set(reply.headers["Set-Cookie"].split("; "))
        async with http.get(f"{url}/console") as reply:
            assert f"wss://{url.removeprefix('https://')}/console/ws" in await reply.text()
        with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
            await http.ws_connect(f"{url}/console/ws", headers={"Origin": appliance.control_url})
        await (await window(http, url)).close()
        fact = json.loads(next(told.glob("*.json")).read_text())
        assert fact["arguments"][2] == url


async def test_who_never_looks_pays_nothing(make_appliance: MakeAppliance, tmp_path: Path) -> None:
    """What the console needs is loaded with the first window."""
    appliance, _ = await asyncio.to_thread(with_console, make_appliance, tmp_path)
    async with aiohttp.ClientSession() as http, http.get(f"{appliance.control_url}/console") as reply:
        assert reply.status == 401
    assert (await asyncio.to_thread(appliance.stop))[0] == 0
    loaded = json.loads((tmp_path / "loaded.json").read_text())
    assert "appliance.control.console.door" in loaded
    assert [name for name in loaded if name.startswith(("textual", "jinja2", "tui"))] == []
