"""What an operator does: each action checks what it expects, acts, and leaves a line in the audit trail.

Destructive actions carry the count they expect; when it has changed in between, nothing is done and the answer is 409
with the present count.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import msgspec

from appliance.control import audit, dead
from appliance.control.edit import edited
from appliance.control.parts import ApiError, Parts, invalid, unknown_destination, unknown_source
from appliance.control.query import Query
from appliance.control.tokens import Holder
from appliance.core.errors import ConfigError, LogFailed, Overloaded, SternpostError
from appliance.core.event import Event
from appliance.core.job import DestinationState
from appliance.core.write_keys import Kept
from appliance.deliver.outcome import Result
from appliance.identity.acts import Act, Outcome
from appliance.wal.log import Transaction

REQUEUE_AT_ONCE = 200
PURGE_AT_ONCE = 2_000


class Who(NamedTuple):
    """Who asks."""

    holder: Holder
    user: str
    """What the client says of itself."""
    address: str

    def entry(self, what: str, target: str, count: int = 0) -> audit.Entry:
        """A line of the audit trail about something that happens now."""
        return audit.Entry(
            when=audit.now(),
            who=self.holder.name,
            role=str(self.holder.role),
            what=what,
            user=self.user,
            address=self.address,
            target=target,
            count=count,
        )


class Actions:
    """All actions of one process. Awaited on control's loop."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._one_by_one = asyncio.Lock()

    async def pause(self, who: Who, name: str) -> None:
        """Stop deliveries of a destination; its position is kept."""
        async with self._audited(who, "destination.pause", name):
            await self._named(name, self._parts.dispatcher.pause(name))

    async def resume(self, who: Who, name: str) -> None:
        """Let a destination go on from where it stood."""
        async with self._audited(who, "destination.resume", name):
            await self._named(name, self._parts.dispatcher.resume(name))

    async def drain(self, who: Who, name: str, expected: int | None) -> int:
        """Try everybody now who waits at a destination; returns how many people that is.

        Args:
            expected: events it holds.
        """
        state = {one.name: one for one in await self._parts.blocking(self._parts.dispatcher.status)}.get(name)
        if state is None or name not in self._parts.host.configured():
            raise await self._not_running(name)
        if state.state is DestinationState.PAUSED:
            raise ApiError(409, "refused", f"destination {name} is paused; nothing was tried", "resume it first")
        _check_expected(expected, state.held_events, "held events")
        async with self._audited(who, "destination.drain", name, state.held_events) as entry:
            hastened: int = await self._named(name, self._parts.dispatcher.drain(name))
            entry.detail = {"people": hastened}
            return hastened

    async def reload_warehouse(self, who: Who, name: str) -> tuple[int, int, int]:
        """Have a warehouse loaded again from where it stands; returns first and last of it, and how many are lost."""
        async with self._audited(who, "warehouse.reload", name) as entry:
            try:
                first, last, lost = await self._named(name, self._parts.dispatcher.reload_warehouse(name))
            except ValueError as error:
                raise ApiError(
                    409, "refused", f"{error}; nothing has changed", "mend the warehouse, then repeat"
                ) from None
            entry.detail = {"first": first, "last": last, "lost": lost}
            return first, last, lost

    async def pause_source(self, who: Who, name: str, paused: bool) -> None:
        """Have a source answer 503 for now, so that clients keep their events; or no longer."""
        async with self._audited(who, f"source.{'pause' if paused else 'resume'}", name):
            try:
                await self._parts.blocking(self._parts.collector.set_paused, name, paused)
            except KeyError:
                raise unknown_source(name) from None
            except OSError as error:
                words = f"the pause cannot be kept: {error.strerror or error}; nothing has changed"
                raise ApiError(409, "refused", words, "make room in the data folder and repeat") from None

    async def rotate_key(self, who: Who, name: str) -> Kept:
        """Give a source whose key we made another one; the old one holds for a day."""
        async with self._audited(who, "source.rotate_key", name):
            try:
                return await self._parts.host.rotate_key(name)
            except KeyError:
                raise unknown_source(name) from None
            except (ValueError, ConfigError) as error:
                raise ApiError(409, "refused", str(error)) from None

    async def test(self, who: Who, name: str) -> Result:
        """Send one event of our own to a destination, outside of lanes and log."""
        async with self._audited(who, "destination.test", name) as entry:
            result: Result = await self._named(name, self._parts.dispatcher.test(name, self._test_event()))
            entry.detail = {"result": result.kind, "reason": result.reason}
            return result

    async def forget(self, who: Who, name: str, expected: int | None) -> int:
        """End a parked destination; returns how many held events went with it.

        Args:
            expected: events it holds, which are lost.
        """
        log = self._parts.log
        if name not in await self._parts.blocking(log.destinations):
            raise unknown_destination(name)
        heads = await self._parts.blocking(log.held_heads, name)
        held = sum(head.count for head in heads)
        _check_expected(expected, held, "held events")
        if name in self._parts.host.configured():  # also one whose plug-in is broken: its events wait
            words = f"destination {name} is configured; nothing was forgotten"
            raise ApiError(409, "refused", words, f"take [destinations.{name}] out of the file and re-load first")
        async with self._audited(who, "destination.forget", name, held):
            try:
                await self._named(name, self._parts.dispatcher.forget(name))
            except ValueError as error:
                raise ApiError(409, "refused", str(error)) from None
        return held

    async def requeue(self, who: Who, query: Query, ids: Sequence[int], expected: int | None) -> int:
        """Bring dead letters back into their lanes; returns how many.

        Args:
            ids: these letters; where there are none, all that match `query`.
        """
        async with self._one_by_one:
            found = await self._expected(query, ids, expected)
            async with self._audited(who, "dead.requeue", query.source or _shown(found), len(found)) as entry:
                done = 0
                for chunk in _chunks(found, REQUEUE_AT_ONCE):
                    try:
                        done += await self._parts.dispatcher.requeue(chunk)
                    except SternpostError as error:  # the budget is spent, say
                        words = f"{error}; {done} of {len(found)} dead letters were requeued, the others kept"
                        raise ApiError(409, "refused", words, "make room, then repeat") from None
                    entry.count = done
                return done

    async def edit(self, who: Who, letter_id: int, event: bytes, expected: int | None) -> int:
        """Bring one dead letter back with another event in its original's place; returns 1.

        Args:
            event: a JSON object with the same messageId and the same person.
        """
        async with self._one_by_one:
            letter = await self._parts.blocking(self._parts.log.dead_letter, letter_id)
            if letter is None:
                raise ApiError(404, "not_found", f"there is no dead letter {letter_id}", "`sternpost dead list`")
            _check_expected(expected, 1, "dead letters")
            record = edited(letter, event, self._parts.host.loaded().config.collect)
            async with self._audited(who, "dead.edit", _shown([letter_id]), 1) as entry:
                entry.detail = {"destination": letter.destination, "message_id": record.message_id}
                try:
                    entry.count = await self._parts.dispatcher.requeue([letter_id], record)
                except (ValueError, SternpostError) as error:
                    raise ApiError(409, "refused", str(error), "repeat later, or requeue it as it is") from None
                if not entry.count:
                    words = f"destination {letter.destination} does not run; the dead letter was kept"
                    raise ApiError(409, "refused", words, "take it into the configuration and repeat")
                return entry.count

    async def purge(self, who: Who, query: Query, ids: Sequence[int], expected: int | None) -> int:
        """Delete dead letters for good; returns how many. Arguments as for `requeue`."""
        async with self._one_by_one:
            found = await self._expected(query, ids, expected)
            async with self._audited(who, "dead.purge", query.source or _shown(found), len(found)) as entry:
                done = 0
                for chunk in _chunks(found, PURGE_AT_ONCE):
                    done += await asyncio.wrap_future(self._parts.log.write(_purge(chunk)))
                    entry.count = done
                return done

    async def replay(self, who: Who, name: str, from_ms: int, to_ms: int, criteria: Mapping[str, str]) -> str:
        """Deliver a range of the past to a destination again; returns the replay's name."""
        if from_ms >= to_ms:
            raise invalid("a replay ends after it begins", "give --from before --to")
        detail = {"from_ms": from_ms, "to_ms": to_ms, **criteria}
        async with self._audited(who, "replay.start", name) as entry:
            entry.detail = detail
            try:
                started: str = await self._named(name, self._parts.dispatcher.replay(name, from_ms, to_ms, criteria))
            except ValueError as error:
                raise ApiError(409, "refused", str(error)) from None
            entry.detail = {**detail, "replay": started}
            return started

    async def cancel_replay(self, who: Who, name: str) -> None:
        """End a replay where it stands; what it delivered stays delivered."""
        async with self._audited(who, "replay.cancel", name):
            try:
                await self._parts.dispatcher.cancel_replay(name)
            except KeyError:
                words = f"there is no replay {name!r}; it may have ended by itself"
                raise ApiError(404, "not_found", words, "`sternpost replay list` shows those under way") from None

    async def identity(self, who: Who, what: str, target: str, act: Act) -> Outcome:
        """Have the person graph do something, at the log's end, and wait for what comes of it."""
        identifier = self._parts.identifier
        assert identifier is not None
        async with self._audited(who, what, target) as entry:
            try:
                act.by = f"{entry.who} ({entry.user})" if entry.user else entry.who
                outcome = await identifier.act(act, self._parts.clock.wall_ms())
            except TimeoutError:
                words = "it stands in the log and will be done, but the person graph has not come to it yet"
                raise ApiError(503, "not_yet", words, "look at the person again; do not repeat it") from None
            except (Overloaded, LogFailed) as error:
                raise ApiError(
                    503, "refused", f"{error}; nothing was changed", "repeat once `status` is well"
                ) from None
            if not outcome.changed and not outcome.people:
                raise ApiError(409, "refused", outcome.done, "somebody was faster: look at the person again")
            entry.count = outcome.count or len(outcome.people)
            entry.detail = {"done": outcome.done, "people": outcome.people}
            return outcome

    async def reload(self, who: Who) -> list[str]:
        """Read the configuration again; returns what changed, in words."""
        async with self._audited(who, "config.reload", self._parts.host.config_file) as entry:
            try:
                changes = list(await self._parts.host.reload())
            except ConfigError as error:
                words = f"the configuration was refused, the running one stays:\n{error}"
                raise ApiError(409, "refused", words, "mend the file and re-load again") from None
            entry.detail = {"changes": changes}
            return changes

    async def _expected(self, query: Query, ids: Sequence[int], expected: int | None) -> list[int]:
        """The letters an action is about, when there are as many as expected."""
        if not ids and not query:
            raise invalid("name dead letters by id or by a filter", 'a filter for all is "age:>0s"')
        if ids and query:
            raise invalid("give ids or a filter, not both")
        if ids:
            found = await self._parts.blocking(self._existing, list(dict.fromkeys(ids)))
        else:
            now_ms = self._parts.clock.wall_ms()
            found = (await self._parts.searching(dead.matching, self._parts.log, query, now_ms)).ids
        _check_expected(expected, len(found), "dead letters")
        return found

    def _existing(self, ids: Sequence[int]) -> list[int]:
        return [each for each in ids if self._parts.log.dead_letter(each) is not None]

    def _test_event(self) -> Event:
        now_ms = self._parts.clock.wall_ms()
        source = next(iter(self._parts.host.sources()), "")
        message_id = f"sternpost-test-{now_ms}"
        body = {
            "type": "track",
            "event": "Sternpost test",
            "messageId": message_id,
            "anonymousId": "sternpost-test",
            "properties": {"test": True},
            "receivedAt": audit.now(),
            "timestamp": audit.now(),
        }
        return Event(
            sequence=0,
            part=0,
            source=source,
            type="track",
            message_id=message_id,
            anonymous_id="sternpost-test",
            user_id="",
            person_id="sternpost-test",
            received_ms=now_ms,
            json=msgspec.json.encode(body),
        )

    @asynccontextmanager
    async def _audited(self, who: Who, what: str, target: str, count: int = 0) -> AsyncIterator[audit.Entry]:
        """Leaves a line, whatever comes of what happens inside."""
        entry = who.entry(what, target, count)
        try:
            yield entry
        except BaseException as error:
            entry.outcome = f"failed: {error}" if isinstance(error, Exception) else "interrupted"
            raise
        finally:
            await self._parts.note(entry)

    async def _named(self, name: str, action: Any) -> Any:
        """An action on a destination; one that does not run is told why not, one that does not exist answers 404."""
        try:
            return await action
        except KeyError:
            raise await self._not_running(name) from None
        except SternpostError as error:
            raise ApiError(409, "refused", str(error)) from None
        except OSError as error:
            words = f"it cannot be kept: {error.strerror or error}; nothing has changed"
            raise ApiError(409, "refused", words, "make room in the data folder and repeat") from None

    async def _not_running(self, name: str) -> ApiError:
        if name in (broken := self._parts.host.broken()):
            words = f"destination {name} does not run, and its events wait in the log: {broken[name]}"
            return ApiError(409, "refused", words, "mend the plug-in, then `sternpost reload`")
        if name in await self._parts.blocking(self._parts.log.destinations):
            words = f"destination {name} is parked: it is not in the configuration, and its position is kept"
            return ApiError(409, "refused", words, f"put [destinations.{name}] back into the file and re-load")
        return unknown_destination(name)


def _check_expected(expected: int | None, found: int, words: str) -> None:
    """Args: words: what is counted, in the plural."""
    there = f"there is 1 {words.removesuffix('s')}" if found == 1 else f"there are {found} {words}"
    if expected is None:
        raise invalid(f"say how many {words} you expect: {there}", f'send "expect": {found}')
    if expected != found:
        raise ApiError(409, "changed", f"{there} now, not {expected}; nothing was done", "look again, then repeat")


def _purge(ids: list[int]) -> Callable[[Transaction], int]:
    return lambda transaction: transaction.purge_dead(ids)


def _chunks(ids: Sequence[int], size: int) -> Iterator[list[int]]:
    for start in range(0, len(ids), size):
        yield list(ids[start : start + size])


def _shown(ids: Sequence[int]) -> str:
    text = ",".join(map(str, ids[:50]))
    return f"id:{text}{',...' if len(ids) > 50 else ''}"
