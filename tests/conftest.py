"""Fixtures of all proofs: a printed seed, processes that never outlive their test, figures at the end of the run."""

import os
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests.support.appliance import Appliance
from tests.support.sink import Plan, Sink

# Property tests are bounded by their number of examples, never by a clock that other load slows down.
hypothesis.settings.register_profile("default", deadline=None, print_blob=True)
hypothesis.settings.register_profile("fuzz", deadline=None, print_blob=True, max_examples=5_000)
hypothesis.settings.load_profile("default")

_figures: list[str] = []


@pytest.fixture
def seed() -> int:
    """The seed of everything random in a test; STERNPOST_SEED repeats a run. Printed where the test fails."""
    value = int(os.environ.get("STERNPOST_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"STERNPOST_SEED={value}")
    return value


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Say something measured; it stands at the end of the run's output, passed or failed."""
    return lambda text: _figures.append(f"{request.node.name}: {text}")


@pytest.fixture
def make_appliance(tmp_path: Path) -> Iterator[Callable[..., Appliance]]:
    """Makes an `Appliance` (not started) in the test's folder, with its arguments; ended with the test."""
    with ExitStack() as ended:
        count = 0

        def make(config: dict[str, Any] | None = None, **arguments: Any) -> Appliance:
            nonlocal count
            count += 1
            folder = arguments.pop("folder", tmp_path / f"appliance{count}")
            made = Appliance(folder, config, **arguments)
            ended.callback(lambda: print(f"{folder.name} said last:\n{made.tail()}"))  # shown where the test fails
            ended.callback(made.close)
            return made

        yield make


@pytest.fixture
def make_sink(tmp_path: Path) -> Iterator[Callable[..., Sink]]:
    """Makes and starts a `Sink` in the test's folder, with its arguments; ended with the test."""
    with ExitStack() as ended:
        count = 0

        def make(plan: Plan | None = None, **arguments: Any) -> Sink:
            nonlocal count
            count += 1
            sink = Sink(tmp_path, plan, name=f"sink{count}", **arguments)
            ended.callback(sink.stop)
            return sink.start()

        yield make


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print what the tests measured."""
    if _figures:
        terminalreporter.section("figures")
        for line in _figures:
            terminalreporter.write_line(line)
