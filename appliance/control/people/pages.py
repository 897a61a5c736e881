"""What the admin API shows of people: who has an id, all of a person, merges, what an act would part, exports."""

import asyncio
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, TypeVar

from aiohttp import web

from appliance.control.parts import ApiError, Parts, invalid
from appliance.control.people import by_graph, by_log, views
from appliance.control.people.replies import Merges, Parting, People, PersonDetail
from appliance.control.requests import SHOWN, forbidden, json_reply, limit, sees_payloads, still_holds
from appliance.identity import export, parting
from appliance.identity.findings import Merge, Person
from appliance.identity.graphml import graphml
from appliance.identity.lookup import Lookup
from appliance.identity.rules import Id

T = TypeVar("T")
CSV, PARQUET, GRAPHML = "text/csv", "application/vnd.apache.parquet", "application/graphml+xml"
FORMATS = {"csv": CSV, "parquet": PARQUET}
EXPORTS = "exports"
"""Folder in the data folder for what is being exported; emptied at every start."""
CHUNK_BYTES = 64 * 1024
ID_CHARACTERS_MAX = 1_000
FROM_LOG_MAX = 20
"""So many merges of an answer are completed from the log, each by reading a block of it."""


class PeoplePages:
    """Reading handlers. Awaited on control's loop; what blocks runs in pools."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._exporting = asyncio.Lock()

    async def people(self, request: web.Request) -> web.Response:
        """The people behind an id: their ids, what of theirs waits, their newest events."""
        wanted, type = request.query.get("id", ""), request.query.get("type", "")
        if not wanted or len(wanted) > ID_CHARACTERS_MAX:
            raise invalid(
                f"give an id of 1 to {ID_CHARACTERS_MAX} characters", "?id=USER_ID or ?id=email:ann@example.com"
            )
        if type and self._parts.lookup is None:
            raise no_graph()
        replaying = await self._parts.blocking(self._parts.log.replays)
        statuses = [one for one in self._parts.dispatcher.status() if one.name not in replaying]
        log, skew_ms, payloads = self._parts.log, self._parts.skew_ms(), sees_payloads(request)

        def find() -> People:
            if self._parts.lookup is None:
                return by_log.find(log, statuses, wanted, skew_ms, payloads)
            lookup, events = self._parts.lookup, request.query.get("events") != "0"
            return by_graph.find(log, lookup, statuses, wanted, type, skew_ms, payloads, events=events)

        run = self._parts.blocking if request.query.get("events") == "0" else self._parts.searching
        try:
            found = await run(find)
        except ValueError as error:
            raise invalid(
                str(error), "look for it without a type: a bare value is looked for under all of them"
            ) from None
        if not found.people and self._parts.identifier is not None and self._parts.identifier.lag:
            found.complete = False  # the graph has yet to read the newest events
        request[SHOWN] = sum(len(one.events) or 1 for one in found.people)
        return json_reply(found)

    async def person(self, request: web.Request) -> web.Response:
        """All that the graph knows of somebody."""
        name, payloads = request.match_info["person_id"], sees_payloads(request)

        def read() -> PersonDetail:
            return views.person_detail(self._person(name), payloads, self._completed())

        shown = await self._parts.blocking(read)
        request[SHOWN] = len(shown.members)
        return json_reply(shown)

    async def graphml(self, request: web.Request) -> web.StreamResponse:
        """One person for programs that draw graphs."""
        person = await self._parts.blocking(self._person, request.match_info["person_id"])
        request[SHOWN] = len(person.members)
        response = _attachment(GRAPHML, f"{person.person}.graphml")
        await response.prepare(request)
        pieces = graphml(person)
        while piece := await self._parts.blocking(_some, pieces):
            if not await _sent_on(response, piece):
                return response
        await response.write_eof()
        return response

    async def merges(self, request: web.Request) -> web.Response:
        """Merges, the newest first."""
        most, after, payloads = limit(request), request.query.get("after", ""), sees_payloads(request)
        ended, lookup = request.query.get("all") == "1", self.lookup()

        def read() -> Merges:
            page = lookup.merges(most + 1, after, ended=ended)
            more, page = len(page) > most, page[:most]
            completed = self._completed()
            shown = [views.merge_view(completed(one), payloads) for one in page]
            return Merges(shown, page[-1].name if more else "")

        try:
            found = await self._parts.blocking(read)
        except ValueError as error:
            raise invalid(str(error), "take `after` of the page before") from None
        request[SHOWN] = len(found.merges)
        return json_reply(found)

    async def parting(self, request: web.Request) -> web.Response:
        """Who would be parted from whom by an undo, or by a forbid."""
        asked = {name: request.query.get(name, "") for name in ("merge", "a_type", "a", "b_type", "b")}
        lookup, payloads = self.lookup(), sees_payloads(request)
        if bool(asked["merge"]) == all(asked[name] for name in ("a_type", "a", "b_type", "b")):
            raise invalid("give a merge, or two ids", "?merge=17, or ?a_type=user_id&a=ann&b_type=user_id&b=bob")

        def read() -> Parting:
            if asked["merge"]:
                return views.parting(parting.of_merge(lookup, asked["merge"]), payloads)
            one, two = (id_asked(lookup, asked[f"{name}_type"], asked[name], payloads) for name in ("a", "b"))
            return views.parting(parting.of_pair(lookup, one, two), payloads)

        found = await self._parts.blocking(asking, read)
        request[SHOWN] = sum(len(group.ids) for group in found.people)
        return json_reply(found)

    # Exports -------------------------------------------------------------------------------------------------

    async def export(self, request: web.Request) -> web.StreamResponse:
        """All ids with their people. It is written to a file first, so that a slow reader holds nothing back."""
        kind, lookup = request.query.get("format", "csv"), self.lookup()
        if kind not in FORMATS:
            raise invalid(f"there is no format {kind[:40]!r}", f"one of {', '.join(FORMATS)}")
        transport = request.transport

        def goes_on() -> bool:
            return transport is not None and not transport.is_closing()

        async with self._exporting:
            try:
                opened, count = await self._parts.searching(
                    _written, lookup.store().path, self._parts.data / EXPORTS, kind, goes_on
                )
            except export.Stopped:
                raise ApiError(409, "refused", "whoever asked for the export has gone") from None
            except OSError as error:
                words = f"the export cannot be kept while it is sent: {error.strerror or error}; nothing has changed"
                raise ApiError(409, "refused", words, "make room in the data folder and repeat") from None
        with opened:
            request[SHOWN] = count
            return await self._sent(request, opened, kind)

    async def _sent(self, request: web.Request, opened: BinaryIO, kind: str) -> web.StreamResponse:
        response = _attachment(FORMATS[kind], f"people.{kind}")
        response.content_length = await self._parts.blocking(_size, opened)
        await response.prepare(request)
        while chunk := await self._parts.blocking(opened.read, CHUNK_BYTES):
            if not still_holds(request):
                if request.transport is not None:
                    request.transport.abort()  # so that nobody takes it for the whole
                return response
            if not await _sent_on(response, chunk):
                return response
        await response.write_eof()
        return response

    # Parts ---------------------------------------------------------------------------------------------------

    def lookup(self) -> Lookup:
        """Look-ups in the graph.

        Raises:
            ApiError: there is no graph.
        """
        if self._parts.lookup is None:
            raise no_graph()
        return self._parts.lookup

    def _person(self, name: str) -> Person:
        if (found := self.lookup().person(name)) is None:
            raise ApiError(
                404, "not_found", f"there is no person {name[:100]!r}", "`sternpost people find ID` looks for one"
            )
        return found

    def _completed(self) -> Callable[[Merge], Merge]:
        """Adds what the log still knows of the event that made a merge, where the graph knows only the first event that
        named both ids."""
        log, store, left = self._parts.log, self.lookup().store(), FROM_LOG_MAX
        present = len(store.log_ids) - 1

        def completed(merge: Merge) -> Merge:
            nonlocal left
            if merge.when_ms or merge.log != present or not left:
                return merge
            left -= 1
            for record in by_log.between(log, merge.sequence - 1, merge.sequence):
                return merge._replace(when_ms=record.received_ms, message_id=record.message_id, source=record.source)
            return merge

        return completed


def asking(read: Callable[[], T]) -> T:
    """What `read` returns; what it says of what is not there becomes the answer to the request."""
    try:
        return read()
    except parting.Unknown as error:
        raise ApiError(404, "not_found", f"{error}; nothing was done", error.next_step) from None
    except parting.Ended as error:
        raise ApiError(409, "refused", f"{error}; nothing was done", error.next_step) from None
    except parting.Refused as error:
        raise invalid(f"{error}; nothing was done", error.next_step) from None


def id_asked(lookup: Lookup, type: str, value: str, payloads: bool) -> Id:
    """An id of a request, as the rules read it.

    Args:
        payloads: whether who asks may see them: the answer tells whether somebody has this id.
    """
    try:
        found = lookup.id_of(type, value)
    except ValueError as error:
        next_step = "`sternpost people show PERSON` lists ids as the rules of [identity] read them"
        raise invalid(f"{error}; nothing was done", next_step) from None
    if not payloads and found.type not in views.PLAIN_TYPES:
        raise forbidden(f"ids of the type {found.type} need the right to see payloads; nothing was done",
                        "name a user_id or anonymous_id of theirs, or use a token with `payloads = true`")  # fmt: skip
    return found


def no_graph() -> ApiError:
    """409: it needs the person graph."""
    words = "there is no person graph: `enabled` is false in [identity]; nothing was done"
    return ApiError(409, "refused", words, "set `enabled = true` there and start again: the graph is made from the log")


def _attachment(kind: str, name: str) -> web.StreamResponse:
    disposition = f'attachment; filename="{name}"'
    headers = {"Content-Type": kind, "Cache-Control": "no-store", "Content-Disposition": disposition}
    return web.StreamResponse(headers=headers)


def _written(graph: Path, folder: Path, kind: str, goes_on: Callable[[], bool]) -> tuple[BinaryIO, int]:
    """The export, opened; its name is gone already, so that nothing of it outlives whoever reads it."""
    own = folder / secrets.token_hex(8)
    own.mkdir(parents=True, mode=0o700)
    try:
        count = export.write_csv(graph, own / "csv", goes_on)
        if kind == "parquet":
            export.write_parquet(own / "csv", own / "parquet")
        return (own / kind).open("rb"), count
    finally:
        shutil.rmtree(own, ignore_errors=True)


async def _sent_on(response: web.StreamResponse, part: bytes) -> bool:
    """Whether whoever reads is still there."""
    try:
        await response.write(part)
    except ConnectionError:
        return False  # The audit trail says that it was interrupted.
    return True


def _size(opened: BinaryIO) -> int:
    size = opened.seek(0, 2)
    opened.seek(0)
    return size


def _some(pieces: Iterator[str]) -> bytes:
    """About `CHUNK_BYTES`; nothing at the end."""
    taken, size = [], 0
    for piece in pieces:
        taken.append(piece)
        size += len(piece)
        if size >= CHUNK_BYTES:
            break
    return "".join(taken).encode()
