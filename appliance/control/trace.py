"""Where is my event: from the log, the held queues and the dead letters to one answer per destination.

Blocking (it scans), so called in a worker thread.
"""

import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec

from appliance.control import views
from appliance.control.ports import DestinationStatus, Dispatcher
from appliance.core.event import Record
from appliance.core.job import JobState
from appliance.wal.log import DamagedBlock, Log
from appliance.wal.types import DeadLetter, Found, HeldJob, Progress

FOUND_MAX = 20
"""Events of one messageId that are shown, where all are asked for: each source may have one."""
HELD_JOBS_MAX = 1_000
REFUSED_SCAN_MAX = 20_000
AHEAD_SCAN_S = 1.0
"""Time to count the same person's events before a waiting one."""


class Standing(msgspec.Struct, kw_only=True):
    """Where an event stands at one destination."""

    destination: str
    state: str
    """A `JobState`, or: skipped, parked."""
    words: str
    attempts: int = 0
    next_try_ms: int = 0
    """Wall time; 0: not planned."""
    dead_id: int = 0
    sample: str = ""


class Traced(msgspec.Struct, kw_only=True):
    """One event and its way."""

    event: dict[str, Any]
    """As collected; of one that the log does not keep any more, what a dead letter holds of it."""
    collected: str
    """In words."""
    destinations: list[Standing]


class Trace(msgspec.Struct, kw_only=True):
    """Everything that is known of a messageId."""

    message_id: str
    events: list[Traced]
    refused: list[dict[str, Any]]
    """Refused input that holds this id: when, from which source, why."""
    unreadable: list[dict[str, Any]] = []
    """Where nothing is known of the id: ranges of the log that destinations skipped, of which it may have been."""


class Tracer:
    """Looks one event up.

    Args:
        log: read only.
        dispatcher: says where an event goes, and in which lane.
        skew_ms: wall time minus log time.
        searches_refused: whether the bytes of refused input are looked through for the id.
        broken: configured destination that does not run -> what is wrong with its plug-in.
    """

    def __init__(
        self,
        log: Log,
        dispatcher: Dispatcher,
        skew_ms: int,
        *,
        searches_refused: bool = True,
        broken: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._log, self._dispatcher, self._skew_ms = log, dispatcher, skew_ms
        self._searches_refused, self._broken = searches_refused, broken
        self._status = {status.name: status for status in dispatcher.status()}
        self._progress = log.destinations()
        self._letters: dict[tuple[str, int], DeadLetter] = {}

    def trace(self, message_id: str, source: str | None = None, *, every: bool = False) -> Trace:
        """The newest event of this messageId, of one source where it is given; `every` looks through the whole log."""
        found = self._log.find(message_id, source, FOUND_MAX if every else 1)
        known = {item.sequence for item in found}
        dead = self._dead(message_id, source)
        self._letters = {(letter.destination, letter.sequence): letter for letter in dead}
        lost = [letter for letter in dead if letter.sequence not in known]
        events = [self._traced(item) for item in found] + [self._of_letter(letter) for letter in lost[:FOUND_MAX]]
        refused = self._refused(message_id) if self._searches_refused else []
        unreadable = [] if events or refused else self._unreadable()
        return Trace(message_id=message_id, events=events, refused=refused, unreadable=unreadable)

    def _unreadable(self) -> list[dict[str, Any]]:
        return [
            {"destination": name, "first": skip.first_sequence, "last": skip.last_sequence, "reason": skip.reason}
            for name in self._progress
            for skip in self._log.skips(name)
        ][:FOUND_MAX]

    def _traced(self, found: Found) -> Traced:
        record = msgspec.structs.replace(found.record, sequence=found.sequence)
        routes = self._dispatcher.route(record)
        names = [*self._status, *(name for name in self._progress if name not in self._status)]
        executing = self._dispatcher.executing(record.sequence)
        standings = [
            _executing(name, executing[name])
            if name in executing
            else self._standing(name, record, routes.get(name, ()))
            for name in names
        ]
        return Traced(event=views.record_view(record), collected="in the log", destinations=standings)

    def _of_letter(self, letter: DeadLetter) -> Traced:
        original = views.original_of(letter)
        event = views.record_view(original) if original else {"message_id": "", "sequence": letter.sequence}
        return Traced(
            event=event, collected="no longer in the log; kept as a dead letter", destinations=[_dead_standing(letter)]
        )

    def _standing(self, name: str, record: Record, lanes: Sequence[str]) -> Standing:
        if letter := self._letters.get((name, record.sequence)):
            return _dead_standing(letter)
        for lane in lanes:
            if held := self._held(name, lane, record.sequence):
                return held
        if skip := next(
            (skip for skip in self._log.skips(name) if skip.first_sequence <= record.sequence <= skip.last_sequence),
            None,
        ):
            because = skip.reason or "its backlog was full"
            return Standing(destination=name, state="skipped", words=f"skipped: {because}")
        status = self._status.get(name)
        progress = self._progress.get(name) or Progress()
        if record.sequence <= progress.start:
            words = "collected before this destination began; `sternpost replay` can bring it"
            return Standing(destination=name, state="skipped", words=words)
        if record.sequence <= max(progress.low, status.sequence_low if status else 0) or _within(progress, record):
            return self._settled(name, lanes, progress)
        if name in self._broken:
            words = f"waits in the log; the destination does not run: {self._broken[name]}"
            return Standing(destination=name, state=JobState.WAITING, words=words)
        if status is None:
            return Standing(destination=name, state="parked", words="waits; the destination is not configured any more")
        if not lanes:
            return Standing(destination=name, state=JobState.FILTERED, words="not meant for this destination")
        return self._waiting(status, progress, record)

    def _settled(self, name: str, lanes: Sequence[str], progress: Progress) -> Standing:
        if not lanes and name in self._status:
            return Standing(destination=name, state=JobState.FILTERED, words="not meant for this destination")
        words = "delivered" if progress.start >= 0 else "delivered, or older than the destination's first start"
        return Standing(destination=name, state=JobState.SUCCEEDED, words=words)

    def _held(self, name: str, lane: str, sequence: int) -> Standing | None:
        joined = self._log.joined(name)
        goes_as = joined.get(lane, lane)
        lanes = {lane, goes_as, *(member for member, target in joined.items() if target == goes_as)}
        jobs = [job for each in lanes for job in self._log.held_jobs(name, each, HELD_JOBS_MAX)]
        jobs.sort(key=lambda job: (job.sequence, job.part))
        ahead = [job for job in jobs if job.sequence < sequence]
        job = next((job for job in jobs if job.sequence == sequence), None)
        if job is None:
            return None
        if ahead:
            return self._behind(name, ahead, job)
        next_try_ms = job.next_try_ms + self._skew_ms if job.next_try_ms else 0
        state = JobState.FAILED if job.attempts else JobState.WAITING
        words = f"tried {job.attempts} times, tried again soon: {job.error}" if job.attempts else "next of its person"
        return Standing(destination=name, state=state, words=words, attempts=job.attempts, next_try_ms=next_try_ms)

    def _behind(self, name: str, ahead: list[HeldJob], job: HeldJob) -> Standing:
        head = ahead[0]
        first = views.event_of_held(head)
        words = (
            f"waits behind {len(ahead)} earlier events of the same person; the first, {first or head.sequence}, "
            f"was tried {head.attempts} times: {head.error or 'no error yet'}"
        )
        next_try_ms = head.next_try_ms + self._skew_ms if head.next_try_ms else 0
        return Standing(
            destination=name, state=JobState.WAITING, words=words, attempts=job.attempts, next_try_ms=next_try_ms
        )

    def _waiting(self, status: DestinationStatus, progress: Progress, record: Record) -> Standing:
        low = max(progress.low, status.sequence_low)
        same, complete = self._ahead(low, progress, record)
        person = f"{'' if complete else 'at least '}{same} of the same person"
        words = f"waits behind at most {record.sequence - low - 1} events, {person}; the destination is {status.state}"
        if status.last_error and str(status.state) not in ("running", "paused"):
            words += f": {status.last_error}"
        return Standing(destination=status.name, state=JobState.WAITING, words=words)

    def _ahead(self, low: int, progress: Progress, record: Record) -> tuple[int, bool]:
        """Unsettled events of the same person between `low` and the event, and whether all were counted."""
        who = record.anonymous_id or record.user_id
        deadline, count, after = time.monotonic() + AHEAD_SCAN_S, 0, low
        try:
            while time.monotonic() < deadline:
                for block in self._log.read(after):
                    for other in block.records:
                        if other.sequence >= record.sequence:
                            return count, True
                        if other.sequence > low and (other.anonymous_id or other.user_id) == who:
                            count += not _within(progress, other)
                    after = block.last_sequence
        except DamagedBlock:
            pass
        return count, False

    def _dead(self, message_id: str, source: str | None) -> list[DeadLetter]:
        """Dead letters of this id; the log may have trimmed the event itself."""
        found, after_id = [], 0
        while letters := self._log.dead_letters(None, after_id, HELD_JOBS_MAX):
            after_id = letters[-1].id
            for letter in letters:
                of = views.original_of(letter) or views.transformed_of(letter)
                if of is not None and of.message_id == message_id and source in (None, of.source):
                    found.append(letter)
        return found

    def _refused(self, message_id: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        wanted = message_id.encode("utf-8", "replace")
        after_id, seen = 0, 0
        while seen < REFUSED_SCAN_MAX and len(found) < FOUND_MAX and (inputs := self._log.refused(after_id, 500)):
            after_id, seen = inputs[-1].id, seen + len(inputs)
            found += [
                {
                    "id": item.id,
                    "received_ms": item.refused.received_ms,
                    "source": item.refused.source,
                    "reason": item.refused.reason,
                }
                for item in inputs
                if wanted in item.refused.body
            ]
        return found[:FOUND_MAX]


def _within(progress: Progress, record: Record) -> bool:
    return any(first <= record.sequence <= last for first, last in progress.ranges)


def _executing(name: str, attempt: int) -> Standing:
    words = f"with the plug-in now, attempt {attempt}"
    return Standing(destination=name, state=JobState.EXECUTING, words=words, attempts=attempt - 1)


def _dead_standing(letter: DeadLetter) -> Standing:
    tried = f" after {letter.attempts} failed attempts" if letter.attempts else ""
    words = f"dead letter {letter.id}{tried}, at stage {letter.stage}: {letter.reason}"
    return Standing(
        destination=letter.destination,
        state=JobState.ABORTED,
        words=words,
        attempts=letter.attempts,
        dead_id=letter.id,
        sample=letter.sample,
    )
