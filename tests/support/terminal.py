"""A real terminal under tmux: type keys, use the mouse, read the screen. Each has a server of its own, ended with it."""

import re
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

WHEEL_UP, WHEEL_DOWN = 64, 65


class Cell(NamedTuple):
    """One character of the screen; colours and attributes are as the terminal's codes name them, "" for its own."""

    character: str
    foreground: str = ""
    background: str = ""
    attributes: frozenset[str] = frozenset()


class Terminal:
    """One program on one screen.

    Args:
        folder: for tmux's socket.
        command: what runs, as words.
        columns, lines: size of the screen.
        env: the program's whole environment.
    """

    def __init__(
        self, folder: Path, command: Sequence[str], *, columns: int = 80, lines: int = 24, env: Mapping[str, str]
    ) -> None:
        self._socket, self._command, self._size = folder / "tmux", list(command), (columns, lines)
        # A size that another terminal left in the environment would go before that of this one.
        self._env = {name: value for name, value in env.items() if name not in ("COLUMNS", "LINES")}

    def __enter__(self) -> "Terminal":
        columns, lines = map(str, self._size)
        settings = [word for key, value in self._env.items() for word in ("-e", f"{key}={value}")]
        self._tmux("new-session", "-d", "-s", "t", "-x", columns, "-y", lines, *settings, *self._command)
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(["tmux", "-S", str(self._socket), "kill-server"], capture_output=True, check=False)

    def type(self, *keys: str) -> None:
        """Press keys, by tmux's names: `p`, `Enter`, `C-c`."""
        for key in keys:
            self._tmux("send-keys", "-t", "t", key)
            time.sleep(0.1)

    def screen(self) -> str:
        """What stands on the screen."""
        return self._tmux("capture-pane", "-p", "-t", "t")

    def cells(self) -> list[list[Cell]]:
        """What stands on the screen, line by line, with its colours."""
        lines, pen = [], Cell("")
        for line in self._tmux("capture-pane", "-e", "-p", "-t", "t").splitlines():
            cells: list[Cell] = []
            for codes, character in re.findall(r"\x1b\[([\d;]*)m|(.)", line):
                if character:
                    cells.append(pen._replace(character=character))
                else:
                    pen = _drawn(pen, codes)
            lines.append(cells)
        return lines

    def find(self, words: str) -> tuple[int, int]:
        """Column and line, from 1, of the first place where these words stand."""
        for number, line in enumerate(self.screen().splitlines(), 1):
            if words in line:
                return line.index(words) + 1, number
        raise AssertionError(f"{words!r} is not there; the screen:\n{self.screen()}")

    def click(self, words: str) -> None:
        """Press and release the first mouse button on these words."""
        column, line = self.find(words)
        self._mouse(f"\x1b[<0;{column};{line}M", f"\x1b[<0;{column};{line}m")

    def wheel(self, words: str, turn: int, notches: int = 1) -> None:
        """Turn the wheel over these words: WHEEL_UP or WHEEL_DOWN."""
        column, line = self.find(words)
        self._mouse(*[f"\x1b[<{turn};{column};{line}M"] * notches)

    def _mouse(self, *reports: str) -> None:
        """Send what a terminal reports of its mouse (SGR, xterm's mode 1006)."""
        self._tmux("send-keys", "-t", "t", "-H", *(f"{byte:02x}" for byte in "".join(reports).encode()))
        time.sleep(0.1)

    def until(self, *words: str, timeout_s: float = 20.0) -> str:
        """Wait until all these words stand on the screen at once; returns the screen.

        Raises:
            AssertionError: they did not; with the screen as it was.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            screen = self.screen()
            if all(word in screen for word in words):
                return screen
            assert time.monotonic() < deadline, f"{words} did not come; the screen:\n{screen}"
            time.sleep(0.1)

    def _tmux(self, *arguments: str) -> str:
        done = subprocess.run(
            ["tmux", "-S", str(self._socket), "-f", "/dev/null", *arguments],
            capture_output=True, text=True, check=False, env={"PATH": self._env["PATH"], "LANG": "C.UTF-8", "TERM": "xterm-256color"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout


def _drawn(pen: Cell, codes: str) -> Cell:
    """The pen after one sequence of colours and attributes."""
    given = codes.split(";")
    while given:
        code = given.pop(0) or "0"
        if code in ("38", "48"):
            size = 2 if given[0] == "5" else 4
            colour, given = ";".join([code, *given[:size]]), given[size:]
            pen = pen._replace(foreground=colour) if code == "38" else pen._replace(background=colour)
        elif code == "0":
            pen = Cell("")
        elif code == "39" or (len(code) == 2 and code[0] in "39"):
            pen = pen._replace(foreground="" if code == "39" else code)
        elif code == "49" or (code[0] == "4" and len(code) == 2) or len(code) == 3:
            pen = pen._replace(background="" if code == "49" else code)
        else:
            pen = pen._replace(attributes=pen.attributes | {code})
    return pen


def installed() -> bool:
    """Whether tmux is there."""
    return shutil.which("tmux") is not None
