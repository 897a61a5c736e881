"""Fixtures of all proofs: a printed seed, processes that never outlive their test, figures at the end of the run."""

import os
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests.support.appliance import Appliance
from tests.support.postgres import PostgresServer
from tests.support.sink import Plan, Sink

# Property tests are bounded by their number of examples, never by a clock that other load slows down.
hypothesis.settings.register_profile("default", deadline=None, print_blob=True)
hypothesis.settings.register_profile("fuzz", deadline=None, print_blob=True, max_examples=5_000)
hypothesis.settings.load_profile("default")

BESIDE = {
    "test_admin_document", "test_cli_actions", "test_cli_journey", "test_cli_terminal", "test_clock",
    "test_collector_answers", "test_collector_head", "test_console_colours", "test_console_mouse",
    "test_console_process", "test_console_terminal", "test_control_process", "test_damaged_block", "test_disk_full",
    "test_drop", "test_first_run", "test_found", "test_held_read", "test_hostile_names", "test_identifier", "test_joined", "test_judge",
    "test_kill_people", "test_moments", "test_monitoring", "test_people", "test_people_joined", "test_people_suggest",
    "test_readme", "test_reload", "test_reload_full", "test_reload_twice", "test_replay", "test_replay_edges",
    "test_requeue_ahead", "test_requeue_twins", "test_reserve", "test_sdks", "test_smaller_share",
    "test_people_anew", "test_people_believed", "test_people_renamed", "test_query", "test_sources_paused", "test_told",
    "test_trace", "test_warehouse",
}  # fmt: skip
"""Tests of real processes that may run beside others: they neither measure time nor take the machine to its limits."""
ALONE_FOLDERS = {"integration", "crash", "browser"}

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
    told = request.node.user_properties  # These travel with the test's report, from another process too.
    return lambda text: told.append(("figure", f"{request.node.name}: {text}"))


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


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A real PostgreSQL server for all tests of this process; who stops it starts it again."""
    server = PostgresServer()
    yield server
    server.close()


def pytest_addoption(parser: pytest.Parser) -> None:
    """One more option."""
    parser.addoption("--figures", type=Path, help="a file that gathers the figures of several runs; the last shows all")


def pytest_configure() -> None:
    """A run in the background ignores Ctrl-C, and so would whatever it starts: tests that send it would wait."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever starts real processes runs alone, unless it is known that it may run beside others."""
    for item in items:
        folders = item.path.relative_to(Path(__file__).parent).parts[:-1]
        if ALONE_FOLDERS.intersection(folders) and item.path.stem not in BESIDE:
            item.add_marker("alone")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Gather what a test measured."""
    in_worker = "PYTEST_XDIST_WORKER" in os.environ  # Its reports go on to the process that shows them.
    if report.when == "teardown" and not in_worker:
        _figures.extend(str(text) for name, text in report.user_properties if name == "figure")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print what the tests measured, and what those of earlier runs did that gather in the same file."""
    shown, gathered = list(_figures), terminalreporter.config.getoption("--figures")
    if gathered is not None:
        gathered.parent.mkdir(parents=True, exist_ok=True)
        earlier = gathered.read_text(encoding="utf-8").splitlines() if gathered.exists() else []
        shown = earlier + shown
        gathered.write_text("".join(f"{line}\n" for line in shown), encoding="utf-8")
    if shown:
        terminalreporter.section("figures")
        for line in shown:
            terminalreporter.write_line(line)
