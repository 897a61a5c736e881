"""A tiny console for proofs of the door in front of it: tells what it was given, and which keys reached it.

    python console_app.py FOLDER URL --data PATH --token-file PATH

FOLDER/PID.json holds its environment, arguments and token; FOLDER/PID.keys one key a line. After an `s` it is stuck
and hears no wish to end, after a `d` it hands over a file, after an `o` it opens a script and a page, and after a `g` it
has a child of its own, whose id stands in FOLDER/PID.grandchild and who hears no wish to end either.
"""

import json
import os
import subprocess
import sys
import time
from io import StringIO
from pathlib import Path

from textual.app import App, ComposeResult
from textual.events import Key
from textual.widgets import Static


class Told(App[None]):
    """Shows a word and notes what comes in."""

    def __init__(self, folder: Path, token_file: str) -> None:
        super().__init__()
        self._base = folder / str(os.getpid())
        token = [Path(token_file).read_text() for _ in range(2)]  # a console reads it again when it reconnects
        fact = {"environment": dict(os.environ), "arguments": sys.argv, "token": token, "folder": os.getcwd()}
        self._base.with_suffix(".part").write_text(json.dumps(fact))
        self._base.with_suffix(".part").rename(self._base.with_suffix(".json"))

    def compose(self) -> ComposeResult:
        yield Static("The console is here")

    def on_key(self, event: Key) -> None:
        with self._base.with_suffix(".keys").open("a") as opened:
            opened.write(event.key + "\n")
        self.query_one(Static).update(f"Pressed {event.key}")
        if event.key == "s":
            time.sleep(3600)
        elif event.key == "d":
            self.deliver_text(StringIO("exported, ä"), save_directory="/nowhere", save_filename='a "b".ndjson')
        elif event.key == "g":
            program = (
                "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(600)"
            )
            child = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
            assert child.stdout is not None and child.stdout.readline()
            self._base.with_suffix(".grandchild").write_text(str(child.pid))
        elif event.key == "o":
            self.open_url("javascript:alert(1)")
            self.open_url("https://docs.example/page")


if __name__ == "__main__":
    given = Path(sys.argv[1])
    Told(given, sys.argv[sys.argv.index("--token-file") + 1]).run()
