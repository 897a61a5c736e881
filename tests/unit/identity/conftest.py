"""A graph for each test."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appliance.core.config import IdentityConfig
from tests.support.graph import Fed


@pytest.fixture
def fed(tmp_path: Path) -> Iterator[Fed]:
    """With the default rules."""
    made = Fed(tmp_path)
    yield made
    made.close()


@pytest.fixture
def make_fed(tmp_path: Path) -> Iterator[Callable[[IdentityConfig], Fed]]:
    """With other rules."""
    made: list[Fed] = []

    def make(config: IdentityConfig) -> Fed:
        made.append(Fed(tmp_path, config))
        return made[-1]

    yield make
    for one in made:
        one.close()
