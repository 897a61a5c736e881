"""One console: a child process that draws, driven over its pipes by textual-serve's protocol.

It gets a clean environment and the token in an anonymous file of its own (no argument, no environment, nothing on
disk), runs in a process group of its own, and ends with its window: first asked, then told, then killed. Where we are
killed ourselves, the kernel ends it.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib.metadata import version

from textual_serve.app_service import AppService
from textual_serve.download_manager import DownloadManager

from appliance.core import logs

PACKET_BYTES_MAX = 16 << 20
ASK_S = 1.0
TELL_S = 1.0
ERROR_BYTES_MAX = 2000
# PR_SET_PDEATHSIG, SIGKILL: the kernel ends the console should we be killed; it outlives exec.
_BIND = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9); "
    "os.getppid() == int(sys.argv[1]) or os._exit(0); os.execvp(sys.argv[2], sys.argv[2:])"
)
_LEASH = (sys.executable, "-IS", "-c", _BIND)
_PRELUDE = b"__GANGLION__\n"
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ")
_LOG = logs.logger("control.console")


def environment(inherited: Mapping[str, str], width: int, height: int) -> dict[str, str]:
    """All that the child's environment holds: what a terminal program needs, and nothing that configured us.

    Args:
        inherited: our own environment.
        width: of the window, in cells.
        height: of the window, in cells.
    """
    kept = {name: inherited[name] for name in _KEPT if name in inherited}
    made = {
        "TERM": "xterm-256color",
        "COLORTERM": "truecolor",
        "COLUMNS": str(width),
        "ROWS": str(height),
        "PYTHONUNBUFFERED": "1",
        "PYTHONSAFEPATH": "1",
        "TERM_PROGRAM": "textual",
        "TERM_PROGRAM_VERSION": version("textual-serve"),
        "TEXTUAL_DRIVER": "textual.drivers.web_driver:WebDriver",
        "TEXTUAL_COLOR_SYSTEM": "truecolor",
        "TEXTUAL_FPS": "30",
    }
    return {"PATH": os.defpath, "HOME": "/", "LANG": "C.UTF-8", **kept, **made}


class Child(AppService):
    """The process behind one window.

    Args:
        command: program and arguments; words in braces are replaced.
        given: what takes the place of `{url}`, `{data}` and so on; that of `{token_file}` is added.
        token: what it acts with.
        write_bytes: to the window: what the terminal shows.
        write_str: to the window: messages of the protocol.
        close: closes the window.
        downloads: shared by all children; files that a console hands to its browser.

    Attributes:
        drew: whether it began to draw; one that never did could not start.
    """

    def __init__(
        self,
        command: Sequence[str],
        given: Mapping[str, str],
        token: str,
        write_bytes: Callable[[bytes], Awaitable[None]],
        write_str: Callable[[str], Awaitable[None]],
        close: Callable[[], Awaitable[None]],
        downloads: DownloadManager,
    ) -> None:
        super().__init__(
            "", write_bytes=write_bytes, write_str=write_str, close=close, download_manager=downloads, debug=False
        )
        self._words, self._given, self._token = list(command), given, token
        self._errors = b""
        self.drew = False

    async def _open_app_process(self, width: int = 80, height: int = 24) -> Process:
        token_file = os.memfd_create("token")  # inherited; unlike a pipe it can be read again after a reconnect
        try:
            os.fchmod(token_file, 0o600)
            os.write(token_file, self._token.encode() + b"\n")
            os.lseek(token_file, 0, os.SEEK_SET)
            given = {**self._given, "token_file": f"/dev/fd/{token_file}"}
            process = await asyncio.create_subprocess_exec(
                *_LEASH,
                str(os.getpid()),
                *[word.format(**given) for word in self._words],
                stdin=PIPE,
                stdout=PIPE,
                stderr=PIPE,
                env=environment(os.environ, width, height),
                cwd=home if os.path.isdir(home := os.environ.get("HOME", "/")) else "/",
                pass_fds=(token_file,),
                start_new_session=True,
            )
        finally:
            os.close(token_file)
        self._process, self._stdin = process, process.stdin
        return process

    async def run(self) -> None:
        """Hand on what the child sends until it ends, then close the window."""
        assert self._process is not None and self._process.stdout is not None
        errors = asyncio.create_task(self._read_errors())
        try:
            self.drew = await self._began(self._process.stdout)
            if self.drew:
                await self._hand_on(self._process.stdout)
        except (asyncio.IncompleteReadError, ConnectionError, ValueError) as error:
            if not isinstance(error, asyncio.IncompleteReadError):
                _LOG.warning("console_pipe_failed", error=str(error) or type(error).__name__)
        finally:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(errors, 0.5)
            await self.remote_close()

    async def end(self) -> None:
        """End the child, whatever state it is in; returns once it is gone."""
        process, task = self._process, self._task
        if process is None:
            return
        await self._download_manager.cancel_app_downloads(self.app_service_id)
        for how, wait_s in ((None, ASK_S), (signal.SIGTERM, TELL_S), (signal.SIGKILL, None)):
            if process.returncode is not None:
                break
            if how is None:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.send_meta({"type": "quit"}), ASK_S)
            else:
                _to_group(process.pid, how)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), wait_s)
        _to_group(process.pid, signal.SIGKILL)  # what it started itself
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if process.returncode and self._errors:
            _LOG.warning("console_failed", code=process.returncode, said=self._errors.decode("utf-8", "replace"))

    async def on_meta(self, data: bytes) -> None:
        """Messages beside what is drawn: the end, links, files."""
        message = json.loads(data)
        kind = message.get("type")
        if kind == "open_url":
            # A link may come from an event: a page is opened, a script never run.
            if str(message.get("url", "")).startswith(("https://", "http://")):
                await super().on_meta(data)
        elif kind == "deliver_file_start":
            await self._offer(message)
        elif kind == "exit":
            await super().on_meta(data)

    async def _offer(self, message: dict[str, str]) -> None:
        """A file of the console's for the browser: it fetches it from our own address."""
        key = message["key"]
        await self._download_manager.create_download(
            app_service=self,
            delivery_key=key,
            file_name=os.path.basename(message["path"]),
            open_method="download",
            mime_type="application/octet-stream",
            encoding=message.get("encoding") or None,
            name=message.get("name"),
        )
        await self.remote_write_str(json.dumps(["open_url", {"url": f"/console/download/{key}", "new_tab": True}]))

    async def _began(self, stdout: asyncio.StreamReader) -> bool:
        """Whether it said that it speaks the protocol, in one of its first lines."""
        for _ in range(10):
            line = await stdout.readline()
            if line == _PRELUDE:
                return True
            if not line:
                break
        return False

    async def _hand_on(self, stdout: asyncio.StreamReader) -> None:
        handlers = {b"D": self.on_data, b"M": self.on_meta, b"P": self.on_packed}
        while True:
            kind, size = await stdout.readexactly(1), int.from_bytes(await stdout.readexactly(4), "big")
            if kind not in handlers or size > PACKET_BYTES_MAX:
                raise ValueError(f"a packet of kind {kind!r} with {size} bytes")
            await handlers[kind](await stdout.readexactly(size))

    async def _read_errors(self) -> None:
        assert self._process is not None and self._process.stderr is not None
        while read := await self._process.stderr.read(4096):
            self._errors = (self._errors + read)[-ERROR_BYTES_MAX:]


def _to_group(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
