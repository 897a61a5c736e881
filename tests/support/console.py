"""A process whose console is the tiny one of `console_app.py`."""

import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.appliance import Appliance

APP = Path(__file__).with_name("console_app.py")

_LAUNCHER = """
import json, sys
from pathlib import Path
from appliance.control.console.door import Console
from appliance.__main__ import main

Console.command = {command!r}
code = main()
Path({loaded!r}).write_text(json.dumps(sorted(sys.modules)))
sys.exit(code)
"""


def command(told: Path) -> list[str]:
    """What draws the console; it writes what it was given into `told`."""
    return [sys.executable, str(APP), str(told), "{url}", "--data", "{data}", "--token-file", "{token_file}"]


def launcher(folder: Path, told: Path) -> Path:
    """A program that takes Sternpost's arguments; at its end it writes what it had imported into `loaded.json`."""
    path = folder / "launcher.py"
    path.write_text(_LAUNCHER.format(command=command(told), loaded=str(folder / "loaded.json")))
    return path


def with_console(
    make_appliance: Callable[..., Appliance], folder: Path, config: dict[str, Any] | None = None
) -> tuple[Appliance, Path]:
    """The real process with the tiny console, started, and where that writes."""
    told = folder / "told"
    told.mkdir()
    program = (sys.executable, str(launcher(folder, told)))
    appliance = make_appliance(config, command=program, env={"CRM_PASSWORD": "secret"})
    appliance.start()
    return appliance, told


def link(appliance: Appliance) -> str:
    """The link that the process printed."""
    deadline = time.monotonic() + 10
    while not (found := re.search(r"https?://127\.0\.0\.1:\d+/console\?ticket=\S+", appliance.log())):
        assert time.monotonic() < deadline, appliance.tail()
        time.sleep(0.05)
    return found[0]


def pids(told: Path) -> list[int]:
    """Consoles that began."""
    return [int(path.stem) for path in told.glob("*.json")]


def lives(pid: int) -> bool:
    """Whether a process is there."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
