"""A real terminal under tmux: type keys, read the screen. Each has a server of its own, ended with it."""

import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path


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
        self._socket, self._command, self._size, self._env = folder / "tmux", list(command), (columns, lines), dict(env)

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


def installed() -> bool:
    """Whether tmux is there."""
    return shutil.which("tmux") is not None
