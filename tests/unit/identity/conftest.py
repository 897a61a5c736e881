"""A graph for each test, and walks through a log."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from appliance.core.config import IdentityConfig, Teaching
from appliance.core.event import Record
from tests.support.graph import Fed
from tests.support.graph_log import World


@pytest.fixture
def fed(tmp_path: Path) -> Iterator[Fed]:
    """With the default rules."""
    made = Fed(tmp_path)
    yield made
    made.close()


@pytest.fixture
def make_fed(tmp_path: Path) -> Iterator[Callable[..., Fed]]:
    """With other rules."""
    made: list[Fed] = []

    def make(config: IdentityConfig, teaching: Mapping[str, Teaching] | None = None) -> Fed:
        made.append(Fed(tmp_path, config, teaching))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def walk(tmp_path: Path) -> Iterator[Callable[..., World]]:
    """Applies a log in batches of 1, 7 and all, to a graph each; all of them and their pasts must say the same.

    The first of them remembers nothing from batch to batch but what is in its file.
    """

    def walked(records: Sequence[Record], config: dict[str, Any] | None = None) -> World:
        worlds, said = [], []
        for batch in (1, 7, 0):
            world = World(tmp_path / f"people{batch}.sqlite", config)
            reading = world.read(records, batch, forgetful=batch == 1)
            upto = records[-1].sequence
            assert world.past.people(records) == reading.people, f"batches of {batch}"
            assert world.past.changes(0, upto) == reading.changes, f"batches of {batch}"
            halves = [world.past.changes(0, upto // 2), world.past.changes(upto // 2, upto)]
            assert halves[0] + halves[1] == reading.changes
            worlds.append(world)
            said.append(reading)
        assert said[0] == said[1] == said[2], "the answer depends on the batches"
        for world in worlds[:-1]:
            world.close()
        opened.append(worlds[-1])
        return worlds[-1]

    opened: list[World] = []
    yield walked
    for world in opened:
        world.close()
