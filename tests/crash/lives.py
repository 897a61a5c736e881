"""Lives of one data folder under load, each ended by kill -9: what the crash tests have in common."""

import asyncio
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.support.appliance import Appliance, webhook
from tests.support.load import Client, under_load
from tests.support.sink import Sink

IN_FLIGHT, UNSAVED = 16, 16
SABOTAGE = (sys.executable, str(Path(__file__).with_name("sabotage.py")))
"""The product, broken in the way that is named behind it."""


def hook(sink: Sink, run: int) -> dict[str, Any]:
    """A destination of one event per request. The address says in which life that was."""
    return webhook(f"{sink.url}?run={run}", in_flight_max=IN_FLIGHT, unsaved_max=UNSAVED)


def killed_under_load(
    appliance: Appliance,
    clients: Sequence[Client],
    kills: int,
    begin: Callable[[int, bool], None],
    live: Callable[[], None],
) -> float:
    """Kill it so many times while the clients send; leaves a living process, and returns how long its start took.

    Args:
        begin: called before each life with its number, from 1, and whether it will be killed.
        live: starts it, and is what happens until the kill; not called for the last life.
    """
    start_s = 0.0

    def lives() -> None:
        nonlocal start_s
        for run in range(1, kills + 1):
            begin(run, True)
            live()
            appliance.kill()
        begin(kills + 1, False)
        start_s = appliance.start()

    asyncio.run(under_load(list(clients), lives))
    return start_s
