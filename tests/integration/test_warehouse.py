"""A warehouse on the real process: every event once, over kills, faults and refusals. The warehouse is a SQLite file
behind a plug-in in the form in which users drop them in.
"""

import contextlib
import itertools
import random
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.appliance import ROOT, WRITE_KEY, Appliance, webhook
from tests.support.sink import Sink
from tests.support.waiting import until, until_enough
from tests.support.wire import Wire

FOLDER = str(ROOT / "tests" / "support" / "warehouses")
SEED = random.SystemRandom().randrange(1 << 32)


class Shelf:
    """The database, and the files that make it fail."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder, self.path = folder, folder / "shelf.db"

    def destination(self, **keys: Any) -> dict[str, Any]:
        retry = {"delay_min": "50ms", "delay_max": "200ms"}
        return {"plugin": "shelf", "path": str(self.path), "start": "oldest", "retry": retry, **keys}

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        try:
            with sqlite3.connect(self.path) as database:
                return database.execute(sql).fetchall()
        except sqlite3.OperationalError:
            return []

    def ids(self) -> list[str]:
        return [row[0] for row in self.rows("SELECT id FROM tracks ORDER BY rowid")]

    def loads(self) -> list[tuple[Any, ...]]:
        """First and last sequence of each load of events."""
        sql = (
            "SELECT first_sequence, last_sequence FROM sternpost_loads WHERE destination = 'wh' ORDER BY last_sequence"
        )
        return self.rows(sql)

    def ask(self, fault: str, text: str = "") -> None:
        (self.folder / fault).write_text(text)

    def mend(self, fault: str) -> None:
        (self.folder / fault).unlink()


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "shelf")


@pytest.fixture
def make(make_appliance: Callable[..., Appliance], shelf: Shelf) -> Callable[..., Appliance]:
    def made(destinations: dict[str, Any] | None = None, **keys: Any) -> Appliance:
        tables = {"plugins": {"folders": [FOLDER]}}
        return make_appliance({**tables, "destinations": {"wh": shelf.destination(**keys), **(destinations or {})}})

    return made


def send(appliance: Appliance, ids: range, **more: Any) -> None:
    with Wire(appliance.port, WRITE_KEY) as wire:
        for n in ids:
            event = {"userId": f"u{n % 7}", "event": "Paid", "messageId": f"m{n}", "properties": {"n": n, **more}}
            assert wire.post("/v1/track", event).status == 200


def wanted(ids: range) -> set[str]:
    return {f"m{n}" for n in ids}


def status(appliance: Appliance, name: str = "wh") -> dict[str, Any]:
    found = appliance.admin("/v1/destinations")["destinations"]
    return next(dict(one) for one in found if one["name"] == name)


def test_events_become_rows_and_the_loads_are_seen(make: Callable[..., Appliance], shelf: Shelf) -> None:
    appliance = make()
    appliance.start()
    send(appliance, range(40))
    until(lambda: len(shelf.ids()) == 40)
    assert {row[0] for row in shelf.rows("SELECT id FROM paid")} == wanted(range(40))
    assert sum(row[0] for row in shelf.rows("SELECT n FROM paid")) == sum(range(40))
    load = until_enough(lambda: status(appliance)["load"], lambda load: load["rows_total"] == 80)
    assert load["loads_total"] == len(shelf.loads())
    assert load["last_tables"] == 2
    assert status(appliance)["lag_events"] == 0


def test_a_process_that_dies_loads_every_event_once(make: Callable[..., Appliance], shelf: Shelf) -> None:
    """Inside the warehouse's transaction, and by kill -9 at any other moment: behind its commit too."""
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    appliance, sent = make(load={"events_max": 25}), 0
    for life in range(8):
        inside = life % 2 == 0
        appliance.config["destinations"]["wh"]["die_at"] = rng.randint(1, 4) if inside else 0
        appliance.spawn()
        with contextlib.suppress(AssertionError):  # What waits may kill it before it is healthy.
            appliance.wait_ready()
        with contextlib.suppress(OSError), Wire(appliance.port, WRITE_KEY) as wire:
            for _ in range(2_000 if inside else 60):
                event = {"userId": f"u{sent % 7}", "event": "Paid", "messageId": f"m{sent}", "properties": {"n": sent}}
                if wire.post("/v1/track", event).status == 200:
                    sent += 1
                time.sleep(0.005)
        if inside:
            until(lambda: not appliance.alive, "the load that kills it comes")
            assert appliance.process and appliance.process.returncode == 9
        else:
            time.sleep(rng.random() * 0.4)
            appliance.kill()
    appliance.config["destinations"]["wh"]["die_at"] = 0
    appliance.start()
    until(lambda: len(set(shelf.ids())) >= sent, f"seed {SEED}")
    time.sleep(0.5)
    ids = shelf.ids()
    assert len(ids) == len(set(ids)), f"seed {SEED}"
    assert wanted(range(sent)) <= set(ids) <= wanted(range(sent + 1)), f"seed {SEED}"
    ranges = shelf.loads()
    assert ranges[0][0] == 1
    assert all(before[1] + 1 == after[0] for before, after in itertools.pairwise(ranges)), ranges


def test_what_is_refused_becomes_a_dead_letter_and_the_rest_is_loaded(
    make: Callable[..., Appliance], shelf: Shelf
) -> None:
    appliance = make(load={"every": "1s"})
    shelf.ask("down")
    appliance.start()
    send(appliance, range(10))
    send(appliance, range(10, 12), note="poison")
    send(appliance, range(12, 40))
    shelf.ask("refuse", "poison")
    shelf.mend("down")
    until(lambda: len(shelf.ids()) == 38)
    letters = until_enough(lambda: appliance.json("dead", "list")["dead"], lambda found: len(found) == 2)
    assert {letter["stage"] for letter in letters} == {"load"}
    assert {letter["reason"] for letter in letters} == {"the shelf refuses this value"}
    until(lambda: status(appliance)["lag_events"] == 0)
    shelf.mend("refuse")
    assert appliance.sternpost("dead", "requeue", "dest:wh", "--yes").returncode == 0
    until(lambda: len(shelf.ids()) == 40)
    assert set(shelf.ids()) == wanted(range(40))
    assert appliance.json("dead", "list")["dead"] == []


def test_a_dead_letter_is_not_loaded_or_buried_again_after_a_kill(make: Callable[..., Appliance], shelf: Shelf) -> None:
    appliance = make()
    shelf.ask("refuse", "poison")
    appliance.start()
    send(appliance, range(1), note="poison")
    until(lambda: len(appliance.json("dead", "list")["dead"]) == 1)
    appliance.kill()
    appliance.start()
    send(appliance, range(1, 5))
    until(lambda: len(shelf.ids()) == 4)
    assert len(appliance.json("dead", "list")["dead"]) == 1


def test_what_waits_before_a_dead_letter_is_loaded_without_anything_new(
    make: Callable[..., Appliance], shelf: Shelf
) -> None:
    """An event that has no place in tables is buried ahead of a load that fails; the others are not forgotten."""
    shelf.ask("full")
    appliance = make(load={"every": "1s"})
    appliance.start()
    send(appliance, range(5))
    with Wire(appliance.port, WRITE_KEY) as wire:
        wide = {f"p{n}": n for n in range(1_700)}
        assert wire.post("/v1/track", {"userId": "u", "event": "Paid", "properties": wide}).status == 200
    (letter,) = until(lambda: appliance.json("dead", "list")["dead"])
    assert "columns" in letter["reason"]
    assert shelf.ids() == []
    shelf.mend("full")
    until(lambda: set(shelf.ids()) == wanted(range(5)))
    until(lambda: status(appliance)["lag_events"] == 0)


def test_what_was_skipped_is_no_restored_backup(make: Callable[..., Appliance], shelf: Shelf) -> None:
    """A warehouse that was down for too long, by its own setting, goes on behind what it skipped; over a restart too."""
    appliance = make(backlog={"age_max": "1s", "when_full": "skip"})
    appliance.start()
    send(appliance, range(3))
    until(lambda: len(shelf.ids()) == 3)
    shelf.ask("down")
    send(appliance, range(3, 6))
    until(lambda: appliance.json("destinations", "show", "wh")["skips"], "the backlog is looked at every 5 s")
    appliance.kill()
    appliance.start()
    shelf.mend("down")
    send(appliance, range(6, 9))
    until(lambda: wanted(range(6, 9)) <= set(shelf.ids()))
    assert status(appliance)["state"] == "running"


def test_a_warehouse_that_is_down_harms_nobody_and_drains_by_itself(
    make: Callable[..., Appliance], shelf: Shelf, make_sink: Callable[..., Sink]
) -> None:
    sink = make_sink()
    shelf.ask("down")
    appliance = make({"hook": webhook(sink.url, start="oldest")})
    appliance.start()
    send(appliance, range(20))
    sink.wait(lambda arrivals: len(arrivals) == 20)
    stands = until_enough(lambda: status(appliance), lambda found: found["state"] == "open")
    assert stands["lag_events"] == 20
    assert stands["last_error"] == "the shelf is down"
    assert "wh" in appliance.sternpost("status").stdout
    shelf.mend("down")
    until(lambda: len(shelf.ids()) == 20)
    assert until_enough(lambda: status(appliance), lambda found: found["state"] == "running")["lag_events"] == 0
    assert appliance.json("dead", "list")["dead"] == []


def test_one_that_refuses_everybody_is_misconfigured_and_buries_no_crowd(
    make: Callable[..., Appliance], shelf: Shelf
) -> None:
    shelf.ask("readonly")
    appliance = make(breaker={"people": 3})
    appliance.start()
    send(appliance, range(50))
    until_enough(lambda: status(appliance), lambda found: found["state"] == "misconfigured")
    time.sleep(1.0)
    buried = len(appliance.json("dead", "list")["dead"])
    assert 1 <= buried <= 3
    shelf.mend("readonly")
    until(lambda: len(shelf.ids()) == 50 - buried)
    until_enough(lambda: status(appliance), lambda found: found["state"] == "running")


def test_a_restored_backup_is_an_alarm_and_what_the_log_holds_is_loaded_again(
    make: Callable[..., Appliance], shelf: Shelf
) -> None:
    appliance = make()
    appliance.start()
    send(appliance, range(10))
    until(lambda: len(shelf.ids()) == 10)
    appliance.stop()
    backup = shelf.path.read_bytes()
    appliance.start()
    send(appliance, range(10, 20))
    until(lambda: len(shelf.ids()) == 20)
    until(lambda: status(appliance)["lag_events"] == 0)
    appliance.stop()
    shelf.path.write_bytes(backup)
    appliance.start()
    send(appliance, range(20, 25))
    stands = until_enough(lambda: status(appliance), lambda found: found["state"] == "misconfigured")
    assert "sternpost warehouse reload wh" in stands["last_error"]
    assert len(shelf.ids()) == 10, "it goes on only when somebody has said how"
    done = appliance.sternpost("warehouse", "reload", "wh", "--yes")
    assert done.returncode == 0, done.stderr
    until(lambda: set(shelf.ids()) == wanted(range(25)))
    assert len(shelf.ids()) == 25


def test_a_replay_brings_no_row_twice(make: Callable[..., Appliance], shelf: Shelf) -> None:
    appliance = make()
    appliance.start()
    send(appliance, range(30))
    until(lambda: len(shelf.ids()) == 30)
    with sqlite3.connect(shelf.path) as database:
        database.execute("DELETE FROM tracks WHERE id IN ('m3', 'm4')")
    done = appliance.sternpost("replay", "--destination", "wh", "--from", "1h", "--yes")
    assert done.returncode == 0, done.stderr
    until(lambda: len(shelf.ids()) == 30)
    until(lambda: appliance.admin("/v1/replays")["replays"] == [])
    assert set(shelf.ids()) == wanted(range(30))
    streams = {row[0] for row in shelf.rows("SELECT DISTINCT destination FROM sternpost_loads")}
    assert streams == {"wh", "wh#1", "wh/people"}


def people_of(shelf: Shelf) -> dict[tuple[str, str], str]:
    return {(row[0], row[1]): row[2] for row in shelf.rows("SELECT id_type, id_value, person_id FROM id_map")}


def test_who_is_who_is_kept_current_over_merges_and_undos(make: Callable[..., Appliance], shelf: Shelf) -> None:
    """Past rows of a browser belong to who logs in later, and again to two people once a merge is undone."""
    appliance = make()
    appliance.start()
    by_person = "SELECT count(*) FROM visited JOIN id_map ON id_type = 'anonymous_id' AND id_value = anonymous_id"
    by_person += " GROUP BY person_id ORDER BY 1"
    with Wire(appliance.port, WRITE_KEY) as wire:
        for browser, times in (("b1", 3), ("b2", 2)):
            for _ in range(times):
                assert wire.post("/v1/track", {"anonymousId": browser, "event": "Visited"}).status == 200
        until(lambda: shelf.rows(by_person) == [(2,), (3,)])
        for browser in ("b1", "b2"):
            assert wire.post("/v1/identify", {"anonymousId": browser, "userId": "ann"}).status == 200
        until(lambda: shelf.rows(by_person) == [(5,)])
        assert wire.post("/v1/alias", {"userId": "ann", "previousId": "bob"}).status == 200
    until(lambda: len(people := people_of(shelf)) == 4 and len(set(people.values())) == 1)
    (merge,) = [one for one in appliance.json("people", "merges")["merges"] if "user_id" in str(one)][:1]
    appliance.kill()
    appliance.start()
    undone = appliance.sternpost("people", "undo", merge["merge"], "--yes")
    assert undone.returncode == 0, undone.stderr
    until(lambda: len(set(people_of(shelf).values())) == 2)
    found = {who: appliance.json("people", "find", f"user_id:{who}")["people"][0]["person"] for who in ("ann", "bob")}
    assert {who: people_of(shelf)["user_id", who] for who in ("ann", "bob")} == found
