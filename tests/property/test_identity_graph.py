"""The person graph against a naive model: any events and acts, at every place, in any batches, over crashes and undos."""

import shutil
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given

from appliance.core.event import Record
from appliance.identity.acts import Act, Undoing
from appliance.identity.known import Known
from appliance.identity.person import merge_text, number_of, place_of
from appliance.identity.rules import Id
from appliance.identity.split import Splitter
from appliance.identity.stitch import Change
from appliance.identity.store import Store
from tests.support.graph_checks import sound
from tests.support.graph_log import Journey, Reading, World, rules
from tests.support.graph_model import Limits, Model, Person

pytestmark = pytest.mark.timeout(600)  # What is found takes minutes to be made small.
TYPES = ("user_id", "email", "card", "device_id", "anonymous_id")
OPEN = Limits(unique=frozenset(), shared_after=1000, priority=dict(zip(TYPES, range(10, 60, 10), strict=True)))
TIGHT = Limits(
    most={"user_id": 2, "email": 2, "card": 1, "device_id": 1, "anonymous_id": 2},
    ids_max=5,
    shared_after=1,
    priority=OPEN.priority,
)
TEACHING = {"page": "sightings", "beacon": "none"}
USUAL = Limits(
    teaching=TEACHING, shared_after=2, window_days={"device_id": 2, "anonymous_id": 1}, priority=OPEN.priority
)
TURNED = Limits(
    unique=frozenset({"user_id", "card"}),
    most={"anonymous_id": 3},
    shared_after=1,
    teaching={"page": "none", "web": "sightings"},
    priority={"device_id": 5, "anonymous_id": 7, "email": 8, "user_id": 10, "card": 40},
    blocked=frozenset({("anonymous_id", "a0"), ("user_id", "u1")}),
)
LIMITS = (OPEN, USUAL, TIGHT, TURNED)


def config(limits: Limits) -> dict[str, Any]:
    """The same as a configuration."""
    ids = {
        type: {
            "unique": type in limits.unique,
            "most": limits.most.get(type, 0),
            "window": limits.window_days.get(type, 0) * 86_400.0,
            "priority": limits.priority[type],
            "blocked": sorted(value for each, value in limits.blocked if each == type),
        }
        for type in TYPES
    }
    of_all = {"shared_after": limits.shared_after, "ids_max": limits.ids_max, "sources": limits.teaching}
    return {**of_all, "ids": ids}


class Sent(NamedTuple):
    """An event with these ids."""

    user: str
    emails: list[str]
    card: str
    device: str
    anonymous: str
    day: int
    source: str

    @property
    def ids(self) -> list[Id]:
        named = [("user_id", self.user), *(("email", email) for email in self.emails)]
        named += [("device_id", self.device), ("card", self.card), ("anonymous_id", self.anonymous)]
        return [Id(type, value) for type, value in named if value]


class Aliased(NamedTuple):
    user: str
    previous: str
    day: int
    source: str


class Merged(NamedTuple):
    ids: list[Id]
    day: int
    source: str


class Undone(NamedTuple):
    which: int


class Said(NamedTuple):
    """An operator says this of two ids."""

    what: str
    a: Id
    b: Id


class Ruled(NamedTuple):
    limits: Limits


Step = Sent | Aliased | Merged | Undone | Said | Ruled


def values(letter: str, count: int, tail: str = "") -> list[str]:
    return [f"{letter}{n}{tail}" for n in range(count)]


USERS, EMAILS, CARDS = values("u", 3), values("e", 2, "@x.io"), values("c", 2)
DEVICES, BROWSERS = values("d", 2), values("a", 3)
ANY_ID = st.sampled_from(
    [Id(type, value) for type, of in zip(TYPES, (USERS, EMAILS, CARDS, DEVICES, BROWSERS), strict=True) for value in of]
)
DAY = st.sampled_from([0, 0, 0, 0, 1, 3])
SOURCE = st.sampled_from(["web", "web", "web", "page", "beacon"])


def maybe(some: list[str]) -> st.SearchStrategy[str]:
    return st.sampled_from(["", *some])


SENT = st.builds(
    Sent,
    user=maybe(USERS),
    emails=st.lists(st.sampled_from(EMAILS), max_size=2),
    card=st.sampled_from(["", "", "", *CARDS]),
    device=st.sampled_from(["", "", *DEVICES]),
    anonymous=maybe(BROWSERS),
    day=DAY,
    source=SOURCE,
)
EXPLICIT = st.one_of(
    st.builds(Aliased, user=st.sampled_from(USERS), previous=st.sampled_from(USERS + BROWSERS), day=DAY, source=SOURCE),
    st.builds(Merged, ids=st.lists(ANY_ID, min_size=2, max_size=3), day=DAY, source=SOURCE),
)
UNDONE = st.builds(Undone, which=st.integers(0, 5))
SAID = st.builds(Said, what=st.sampled_from(["forbid", "forbid", "allow", "link"]), a=ANY_ID, b=ANY_ID)
RULED = st.builds(Ruled, limits=st.sampled_from(LIMITS))
STEPS = st.lists(st.one_of(SENT, SENT, SENT, EXPLICIT, UNDONE, SAID, RULED), min_size=1, max_size=25)
WITHOUT_RULES = st.lists(st.one_of(SENT, SENT, SENT, EXPLICIT, UNDONE, SAID), min_size=1, max_size=25)


class Told:
    """Writes a log step by step, has a graph read it event by event, and tells the model the same.

    Attributes:
        hubs: by which id each event is attributed; None where it is nobody's.
        snapshots: who was who after each event.
    """

    def __init__(self, world: World, limits: Limits) -> None:
        self.world, self.model, self.log = world, Model(limits), Journey()
        self.hubs: list[Id | None] = []
        self.snapshots: list[dict[Id, Person]] = []
        self.said = Reading([], [])
        self.day = 0

    @property
    def records(self) -> list[Record]:
        return self.log.records

    def tell(self, step: Step) -> None:
        """One more."""
        before = len(self.records)
        hub = self._write(step)
        if len(self.records) == before:
            return
        resolved = self.world.graph.apply(self.records[-1:], before + 1)
        self.said.people.extend(resolved.people)
        self.said.changes.extend(resolved.changes)
        self.hubs.append(hub)
        blocked = self.model.limits.blocked
        self.snapshots.append({Id(*id): self.model.person(id) for id in self.model.ids if id not in blocked})

    def _write(self, step: Step) -> Id | None:
        log, model, place = self.log, self.model, len(self.records) + 1
        if isinstance(step, Sent | Aliased | Merged):
            self.day += step.day
        match step:
            case Sent():
                self._send(step)
                return self._event(step.ids, step.source, explicit=False)
            case Aliased(user, previous, _, source):
                is_browser = previous in BROWSERS
                log.alias(user, previous, anonymous=previous if is_browser else "", day=self.day, source=source)
                ids = [Id("user_id", user), Id("anonymous_id" if is_browser else "user_id", previous)]
                return self._event(ids, source, explicit=True)
            case Merged(ids, _, source):
                log.merge(*ids, day=self.day, source=source)
                return self._event(ids, source, explicit=True)
            case Undone(which):
                if merges := self.world.merges():
                    index = which % len(merges)
                    merge, *ids = merges[index]
                    name = merge_text(merge)
                    log.act(Act(undo=Undoing(name, (ids[0], ids[1])) if which % 2 else name))
                    model.undo(model.merges[index])
            case Said(what, a, b):
                log.act(Act(**{what: (a, b)}), day=self.day)
                if what == "forbid":
                    model.forbid(a, b, self.day)
                elif what == "allow":
                    model.allow(a, b)
                else:
                    model.link(place, a, b, self.day)
            case Ruled(limits):
                log.act(Act(rules=msgspec.Raw(rules(config(limits)).json)))
                model.limits = limits
        return None

    def _event(self, ids: Sequence[Id], source: str, *, explicit: bool) -> Id | None:
        hub = self.model.event(len(self.records), list(ids), explicit, self.day, source)
        return None if hub is None else Id(*hub)

    def _send(self, step: Sent) -> None:
        emails = [*step.emails, "", ""][:2]
        self.log.track(
            user=step.user,
            anonymous=step.anonymous,
            email=emails[0],
            email_too=emails[1],
            device=step.device,
            external=[("card", step.card)] if step.card else [],
            day=self.day,
            source=step.source,
        )


@contextmanager
def folder() -> Iterator[Path]:
    """In memory where there is a place for that: nothing here is about the disk, and each graph is made anew."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="people", dir=memory if memory.is_dir() else None) as name:
        yield Path(name)


@contextmanager
def told(path: Path, limits: Limits, steps: Sequence[Step]) -> Iterator[Told]:
    """All of these steps, told to a graph and to the model."""
    with World(path / "told.sqlite", config(limits)) as world:
        teller = Told(world, limits)
        for step in steps:
            teller.tell(step)
        yield teller


def grouped(numbers: Mapping[Id, int]) -> set[frozenset[Id]]:
    """Who is one with whom, whatever they are called."""
    found: dict[int, set[Id]] = {}
    for id, number in numbers.items():
        found.setdefault(number, set()).add(id)
    return set(map(frozenset, found.values()))


def people_as_the_model(teller: Told) -> None:
    """Whoever is one by the graph is one by the model, at every place, seen from the end."""
    past = teller.world.past
    for place, snapshot in enumerate(teller.snapshots, 1):
        numbers = dict(zip(snapshot, teller.world.people(list(snapshot), place), strict=True))
        visible = {frozenset(person & snapshot.keys()) for person in snapshot.values()}
        assert grouped(numbers) == visible, f"after {place}"
        hub = teller.hubs[place - 1]
        expected = number_of(place_of(0, place), 0) if hub is None else numbers[hub]
        assert teller.said.people[place - 1] == expected, f"the event {place} itself"
    assert past.people(teller.records) == teller.said.people
    assert past.changes(0, len(teller.records)) == teller.said.changes
    merges = [(merge >> 16, a, b) for merge, a, b in teller.world.merges()]
    assert merges == [(merge.sequence, merge.a, merge.b) for merge in teller.model.merges]


def changes_suffice_for_lanes(teller: Told) -> None:
    """Events of one person are in lanes that were joined, or the later one's lane has split off the earlier one's."""
    people, changes = teller.said
    lonely = not any(change.split for change in changes)
    for first, one in enumerate(teller.hubs, 1):
        lanes = {people[first - 1]}
        for later in range(first + 1, len(people) + 1):
            lanes = moved(lanes, [change for change in changes if change.sequence == later])
            two = teller.hubs[later - 1]
            if one is None or two is None or not {one, two} <= teller.snapshots[later - 1].keys():
                continue
            is_one = two in teller.snapshots[later - 1][one]
            assert not is_one or people[later - 1] in lanes, f"{later} may overtake {first}"
            assert not lonely or is_one == (people[later - 1] in lanes), f"{later} waits for {first} of somebody else"


def moved(lanes: set[int], changes: Sequence[Change]) -> set[int]:
    """Where events of these lanes are waited for, after some changes."""
    for change in changes:
        if change.split and change.other in lanes:
            lanes = lanes | {change.lane}
        elif not change.split and change.lane in lanes:
            lanes = lanes - {change.lane} | {change.other}
    return lanes


@given(limits=st.sampled_from(LIMITS), steps=STEPS, batch=st.integers(2, 9))
def test_people_are_as_the_naive_model_says_at_every_place_and_in_any_batches(
    limits: Limits, steps: list[Step], batch: int
) -> None:
    with folder() as path, told(path, limits, steps) as teller:
        people_as_the_model(teller)
        changes_suffice_for_lanes(teller)
        ruled = {id(each) for each in [limits, *(step.limits for step in steps if isinstance(step, Ruled))]}
        sound(teller.world, teller.model.limits, rules_changed=len(ruled) > 1)
        for size in (batch, 0):
            with World(path / f"again{size}.sqlite", config(limits)) as again:
                assert again.read(teller.records, size, forgetful=size > 0) == teller.said, f"in batches of {size}"
                assert again.past.people(teller.records) == teller.said.people


@given(limits=st.sampled_from(LIMITS), steps=STEPS)
def test_ids_whose_digests_collide_are_told_apart(limits: Limits, steps: list[Step]) -> None:
    with pytest.MonkeyPatch.context() as patch, folder() as path:
        patch.setattr(Store, "digest", lambda _, one: 1 + zlib.crc32(repr(one).encode()) % 8)
        with told(path, limits, steps) as teller:
            people_as_the_model(teller)
            with World(path / "again.sqlite", config(limits)) as again:
                assert again.read(teller.records) == teller.said


@given(steps=st.lists(st.one_of(SENT, SENT, EXPLICIT), min_size=1, max_size=20), draw=st.randoms(use_true_random=False))
def test_the_same_events_in_any_order_give_the_same_people_where_no_limit_fires(steps: list[Step], draw: Any) -> None:
    turned = list(steps)
    draw.shuffle(turned)
    with folder() as path, told(path, OPEN, steps) as one, World(path / "turned.sqlite", config(OPEN)) as two:
        other = Told(two, OPEN)
        for step in turned:
            other.tell(step)
        for teller in (one, other):
            people_as_the_model(teller)
        assert one.model.people() == other.model.people()


@given(
    limits=st.sampled_from(LIMITS),
    steps=WITHOUT_RULES,
    last=st.one_of(SENT, EXPLICIT),
    forwards=st.booleans(),
)
def test_an_undo_is_the_inverse_of_a_merge_when_nothing_else_happened(
    limits: Limits, steps: list[Step], last: Step, forwards: bool
) -> None:
    with folder() as path, told(path, limits, steps) as teller:
        ids, world = [Id(*id) for id in teller.model.ids if id not in limits.blocked], teller.world
        place = len(teller.records)
        before, made = world.people(ids, place), len(teller.model.merges)
        teller.tell(last)
        if any(change.split for change in world.past.changes(place, place + 1)):
            return  # An id became shared: more than a merge.
        merges = list(range(made, len(teller.model.merges)))
        for which in merges if forwards else reversed(merges):
            teller.tell(Undone(which))
        assert world.people(ids, len(teller.records)) == before
        people_as_the_model(teller)
        sound(world, limits, rules_changed=False)


@given(
    limits=st.sampled_from(LIMITS),
    steps=STEPS,
    batch=st.integers(1, 6),
    kept=st.integers(0, 25),
    crashed=st.integers(0, 25),
)
def test_a_log_that_is_read_again_from_an_earlier_cursor_gives_the_same_people(
    limits: Limits, steps: list[Step], batch: int, kept: int, crashed: int
) -> None:
    with folder() as path, told(path, limits, steps) as teller:
        records, said = teller.records, teller.said
        kept, crashed = sorted((kept % (len(records) + 1), crashed % (len(records) + 1)))
        live, saved = path / "live.sqlite", path / "saved.sqlite"
        with World(live, config(limits)) as world:
            world.read(records[:kept], batch)
            world.graph.checkpoint()
            shutil.copy(live, saved)
            world.read(records[:crashed], batch)
        with World(saved, config(limits)) as world:
            assert world.graph.cursor == kept
            assert world.read(records).people == said.people[kept:]
            assert world.past.people(records) == said.people
            assert world.past.changes(0, len(records)) == said.changes
            sound(world, teller.model.limits, rules_changed=True)


@given(
    limits=st.sampled_from(LIMITS),
    steps=STEPS,
    batch=st.integers(1, 6),
    table=st.sampled_from(["ids", "edges", "merges", "splits", "former", "words"]),
)
def test_a_write_that_fails_changes_nothing_and_is_done_again(
    limits: Limits, steps: list[Step], batch: int, table: str
) -> None:
    with folder() as path, told(path, limits, steps) as teller, World(path / "sick.sqlite", config(limits)) as world:
        connection, people, changes = world.store.connection, list[int](), list[Change]()
        for start in range(0, len(teller.records), batch):
            some = teller.records[start : start + batch]
            connection.execute(
                f"CREATE TEMP TRIGGER sick BEFORE INSERT ON main.{table} BEGIN SELECT RAISE(ABORT, 'sick'); END"
            )
            try:
                resolved = world.graph.apply(some, some[-1].sequence)
                connection.execute("DROP TRIGGER sick")
            except apsw.ConstraintError:
                assert world.graph.cursor == start
                connection.execute("DROP TRIGGER sick")
                resolved = world.graph.apply(some, some[-1].sequence)
            people += resolved.people
            changes += resolved.changes
        assert (people, changes) == teller.said
        assert world.past.people(teller.records) == people


@given(limits=st.sampled_from([USUAL, TIGHT, TURNED]), steps=st.lists(SENT, min_size=1, max_size=25))
def test_ids_that_become_shared_at_once_part_the_same_people_as_one_after_the_other(
    limits: Limits, steps: list[Step]
) -> None:
    share = Splitter.share

    def one_by_one(splitter: Splitter, ids: Iterable[Known], place: int) -> None:
        stitcher = splitter._stitcher
        for known in list(ids):
            share(splitter, [again for again in [stitcher.known(known.id)] if again], place)

    with folder() as path, told(path, limits, steps) as teller, World(path / "single.sqlite", config(limits)) as world:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Splitter, "share", one_by_one)
            world.read(teller.records)
        assert edges(world) == edges(teller.world)
        for place, snapshot in enumerate(teller.snapshots, 1):
            ids = list(snapshot)
            one, two = (zip(ids, each.people(ids, place), strict=True) for each in (world, teller.world))
            assert grouped(dict(one)) == grouped(dict(two)), f"after {place}"


def edges(world: World) -> set[tuple[Id, Id, int, int]]:
    rows = world.store.rows("SELECT a, b, explicit, state FROM edges")
    return {(world.id(a), world.id(b), explicit, state) for a, b, explicit, state in rows}
