"""The console's routes: the form, the ticket, the cookie, the terminal's page and files, and the cap on windows.

    GET  /console                 the terminal, or with no session the form (401); `?ticket=` lets in once
    POST /console/login           the token, from the form: a session
    POST /console/logout          ends the session
    POST /console/link            with `Authorization: Bearer TOKEN`: a new link with a ticket, for that token
    GET  /console/ws              the terminal's WebSocket; one child process each
    GET  /console/static/NAME     the terminal's script, styles and fonts
    GET  /console/download/KEY    a file that a console hands to its browser

All of it is light until somebody comes in: textual-serve is imported with the first window.
"""

import asyncio
import importlib.util
import secrets
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from aiohttp import web

from appliance.control.console import pages
from appliance.control.console.gate import TICKET_MS, Session, Sessions, Tickets, WrongTries, origin_matches
from appliance.control.parts import ApiError
from appliance.control.requests import json_reply
from appliance.core import logs
from appliance.core.clock import Clock

if TYPE_CHECKING:
    from appliance.control.console.child import Child
    from appliance.control.console.downloads import Downloads

ICON_PATH = "/favicon.ico"
PATH = pages.PATH
COMMAND = (sys.executable, "-m", "tui", "{url}", "--data", "{data}", "--token-file", "{token_file}")
"""What draws the console; the words in braces are replaced. In the data folder it finds the certificate to trust."""
BODY_BYTES_MAX = 4096
BODY_TIMEOUT_S = 10.0
AGAIN_S = 5
_STATIC = {
    "textual.js": ("js", "text/javascript"),
    "xterm.css": ("css", "text/css"),
    "RobotoMono-VariableFont_wght.ttf": ("fonts", "font/ttf"),
    "RobotoMono-Italic-VariableFont_wght.ttf": ("fonts", "font/ttf"),
}
_LOG = logs.logger("control.console")


class Console:
    """The console in the browser, of one process; lives on the admin listener's loop.

    Args:
        accepts: whether a token may come in; compares in constant time.
        clock: sessions and tickets are measured on its monotonic time.
        windows_max: so many at once; 0: there is no console.
        data: the data folder.

    Attributes:
        command: what draws it; see `COMMAND`.
    """

    command: Sequence[str] = COMMAND

    def __init__(self, accepts: Callable[[str], bool], clock: Clock, windows_max: int, data: Path) -> None:
        self._data = data
        self._accepts, self._clock, self._windows_max = accepts, clock, windows_max
        fresh = partial(secrets.token_urlsafe, 32)
        self._sessions, self._tickets, self._tries = Sessions(fresh), Tickets(fresh), WrongTries()
        self._admin_token, self._url, self._cookie = "", "", ""
        self._windows: set[web.WebSocketResponse] = set()
        self._ending: set[asyncio.Task[Any]] = set()
        self._closed = False
        self._downloads: Downloads | None = None

    def opened(self, url: str, token: str) -> None:
        """The listener listens.

        Args:
            url: how a process of this machine reaches it.
            token: the admin's.
        """
        self._url, self._admin_token = url, token
        # Browsers send a cookie to every port of a host: two processes on one machine must not sign each other out.
        self._cookie = f"sternpost_console_{url.rpartition(':')[2]}"

    def link(self, token: str = "") -> str:
        """An address that lets one browser in, once, within ten minutes; "" where there is no console.

        Args:
            token: with its rights; default: the admin's.
        """
        if not (self._url and self._windows_max):
            return ""
        return f"{self._url}{PATH}?ticket={self._tickets.issue(token or self._admin_token, self._clock.monotonic_ms())}"

    async def close(self) -> None:
        """Close every window and wait until its child is gone."""
        self._closed = True
        for websocket in tuple(self._windows):
            self._later(websocket.close(code=1001, message=b"Sternpost stops"))
        if self._ending:
            await asyncio.wait(self._ending, timeout=5.0)

    def routes(self) -> list[web.RouteDef]:
        """What the admin listener serves below `PATH`; these check for themselves who calls: see `is_open`."""
        return [
            web.get(PATH, self._page, allow_head=False),
            web.post(f"{PATH}/login", self._login),
            web.post(f"{PATH}/logout", self._logout),
            web.post(f"{PATH}/link", self._link),
            web.get(f"{PATH}/ws", self._websocket, allow_head=False),
            web.get(f"{PATH}/static/{{name}}", self._static),
            web.get(ICON_PATH, self._icon),
            web.get(f"{PATH}/download/{{key}}", self._download, allow_head=False),
        ]

    @staticmethod
    def is_open(path: str) -> bool:
        """Whether a path is the console's, which asks for cookies and not for the header with the token."""
        return path in (PATH, ICON_PATH) or path.startswith(f"{PATH}/")

    async def _icon(self, request: web.Request) -> web.Response:
        """Browsers ask for it by themselves; there is none, and no token is needed to know."""
        return web.Response(status=204, headers={"Cache-Control": "max-age=86400"})

    # Coming in -------------------------------------------------------------------------------------------------

    async def _page(self, request: web.Request) -> web.Response:
        now_ms = self._clock.monotonic_ms()
        if ticket := request.query.get("ticket"):
            token = self._tickets.redeem(ticket, now_ms)
            if token is not None:
                return self._let_in(request, token, pages.entered())
            return pages.form("This link was used already, or is older than ten minutes. The token opens as well.")
        session = self._session(request)
        if not self._windows_max:
            return pages.words("No console here", "control.console_windows_max is 0 in the configuration.", 404)
        if session is None:
            return pages.form()
        if self._full():
            return self._full_page()
        session.seen_ms = now_ms
        tls = request.secure or request.headers.get("X-Forwarded-Proto") == "https"
        return pages.terminal(f"{'wss' if tls else 'ws'}://{request.host}{PATH}/ws")

    async def _login(self, request: web.Request) -> web.Response:
        now_ms, address = self._clock.monotonic_ms(), request.remote or ""
        if not self._from_our_page(request):
            return pages.form("That form was not sent from a page of this address. Please try here.", 403)
        if wait_ms := self._tries.wait_ms(address, now_ms):
            wait_s = wait_ms // 1000 + 1
            return pages.form(f"Too many wrong tokens; try again in {wait_s} s.", 429, wait_s)
        token = await self._form_token(request)
        if not self._accepts(token):
            self._tries.add(address, now_ms)
            _LOG.warning("console_login_refused", client=address)
            return pages.form("This is not a token of this appliance.")
        return self._let_in(request, token, web.Response(status=303, headers={**pages.HEADERS, "Location": PATH}))

    async def _form_token(self, request: web.Request) -> str:
        if (request.content_length or 0) > BODY_BYTES_MAX:
            return ""
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                body = await request.content.read(BODY_BYTES_MAX + 1)
                while len(body) <= BODY_BYTES_MAX and (more := await request.content.read(BODY_BYTES_MAX + 1)):
                    body += more
        except TimeoutError:
            return ""
        if len(body) > BODY_BYTES_MAX:
            return ""
        return parse_qs(body.decode("latin-1")).get("token", [""])[0].strip()

    async def _logout(self, request: web.Request) -> web.Response:
        if not self._from_our_page(request):
            return pages.form("That was not sent from a page of this address; nothing was ended.", 403)
        self._sessions.end(request.cookies.get(self._cookie, ""))
        reply = pages.words("Signed out", "The session of this browser is over, and its windows with it.", 200)
        reply.del_cookie(self._cookie, path=PATH)
        return reply

    async def _link(self, request: web.Request) -> web.Response:
        """For `sternpost console`; a page of another site cannot send that header."""
        token = (request.headers.get("Authorization") or "").removeprefix("Bearer ").strip()
        if not self._accepts(token):
            raise ApiError(401, "unauthorized", "the token is missing or wrong", "send `Authorization: Bearer TOKEN`")
        if not self._windows_max:
            raise ApiError(409, "refused", "there is no console here", "set control.console_windows_max above 0")
        return json_reply({"url": self.link(token), "valid_s": TICKET_MS // 1000})

    def _let_in(self, request: web.Request, token: str, reply: web.Response) -> web.Response:
        value = self._sessions.begin(token, self._clock.monotonic_ms())
        reply.set_cookie(
            self._cookie, value, path=PATH, httponly=True, samesite="Strict", secure=self._url.startswith("https:")
        )
        _LOG.info("console_session_opened", client=request.remote or "")
        return reply

    def _session(self, request: web.Request) -> Session | None:
        """The caller's session, as long as its token is still one."""
        session = self._sessions.find(request.cookies.get(self._cookie, ""), self._clock.monotonic_ms())
        return session if session is not None and self._accepts(session.token) else None

    def _from_our_page(self, request: web.Request) -> bool:
        return origin_matches(
            request.headers.get("Origin"), request.headers.get("Host"), tls=self._url.startswith("https:")
        )

    # Windows ---------------------------------------------------------------------------------------------------

    async def _websocket(self, request: web.Request) -> web.StreamResponse:
        if not self._from_our_page(request):
            return pages.words("Not from here", "A console is opened from its own page.", 403)
        session = self._session(request)
        if session is None:
            return pages.form()
        if self._full() or self._closed:
            return self._full_page()
        from appliance.control.console import terminal

        websocket = terminal.websocket()
        self._windows.add(websocket)  # before the first await: so many and no more
        running = asyncio.current_task()
        assert running is not None
        self._ending.add(running)
        try:
            await websocket.prepare(request)
            size = (terminal.cells(request.query.get("width"), 80), terminal.cells(request.query.get("height"), 24))
            alive = partial(self._alive, request.cookies.get(self._cookie, ""))
            await terminal.drive(websocket, self._child(session, websocket), size, alive)
        except OSError as error:
            _LOG.error("console_not_started", error=str(error), advice="restart, or use `sternpost tui`")
            await websocket.close(code=1011, message=b"the console cannot be started")
        finally:
            self._windows.discard(websocket)
            self._ending.discard(running)
        return websocket

    def _alive(self, cookie: str, acted: bool) -> bool:
        now_ms = self._clock.monotonic_ms()
        session = self._sessions.find(cookie, now_ms)
        if session is None or self._closed or not self._accepts(session.token):
            return False
        if acted:
            session.seen_ms = now_ms
        return True

    def _child(self, session: Session, websocket: web.WebSocketResponse) -> "Child":
        from appliance.control.console.child import Child
        from appliance.control.console.downloads import Downloads

        self._downloads = self._downloads or Downloads()

        async def close() -> None:
            if child.drew:
                await websocket.close(code=1000, message=b"the console has ended")
            else:
                await websocket.close(code=1011, message=b"the console cannot be started")

        child = Child(
            self.command,
            {"url": self._url, "data": str(self._data.absolute())},
            session.token,
            websocket.send_bytes,
            websocket.send_str,
            close,
            self._downloads,
        )
        return child

    def _full(self) -> bool:
        return len(self._windows) >= self._windows_max

    def _full_page(self) -> web.Response:
        text = (
            f"{self._windows_max} windows are open, and each is a process on the appliance. Close one; this page looks "
            f"again every {AGAIN_S} s. control.console_windows_max in the configuration allows more."
        )
        return pages.words("All consoles are taken", text, 503, again_s=AGAIN_S)

    def _later(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    # Files -----------------------------------------------------------------------------------------------------

    async def _static(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        headers = {"Cache-Control": "max-age=3600", "X-Content-Type-Options": "nosniff"}
        if name == "console.css":
            return web.Response(text=pages.STYLE, content_type="text/css", headers=headers)
        if name == "focus.js":
            return web.Response(text=pages.FOCUS, content_type="text/javascript", headers=headers)
        if name not in _STATIC:
            raise web.HTTPNotFound
        folder, kind = _STATIC[name]
        return web.FileResponse(_package() / "static" / folder / name, headers={**headers, "Content-Type": kind})

    async def _download(self, request: web.Request) -> web.StreamResponse:
        if self._session(request) is None:
            return pages.form()
        key = request.match_info["key"]
        try:
            if self._downloads is None:
                raise KeyError(key)
            offered = await self._downloads.get_download_metadata(key)
        except KeyError:
            return pages.words("No such file", "It was fetched already, or its console has ended.", 404)
        headers = {**pages.HEADERS, "Content-Type": "application/octet-stream"}
        name = "".join(character for character in offered.file_name if character.isalnum() or character in "-_.")
        headers["Content-Disposition"] = f'attachment; filename="{name.encode("ascii", "replace").decode()}"'
        reply = web.StreamResponse(headers=headers)
        await reply.prepare(request)
        async for chunk in self._downloads.download(key):
            await reply.write(chunk)
        if self._downloads.came_whole(key):
            await reply.write_eof()
        elif request.transport is not None:
            _LOG.warning("console_download_broke_off", file=name, kept="in the appliance", advice="export it again")
            request.transport.abort()  # No end of the reply: the browser shows a download that failed.
        return reply


def _package() -> Path:
    """Where textual-serve lies; it is not imported for its files."""
    found = importlib.util.find_spec("textual_serve")
    assert found is not None and found.origin is not None
    return Path(found.origin).parent
