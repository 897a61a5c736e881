"""What the admin API shows of what is kept: dead letters, refused input, the log, configuration, trails."""

from collections.abc import Iterator

from aiohttp import web

from appliance.control import dead, dump, replies, settings_view, views
from appliance.control.lines import streamed
from appliance.control.parts import ApiError, Parts, invalid
from appliance.control.requests import (
    NUMBER_MAX,
    SHOWN,
    json_reply,
    limit,
    number,
    query,
    sees_payloads,
    whole,
)
from appliance.control.tail_subjects import RecordSubject
from appliance.control.trace import Trace, Tracer
from appliance.core import logs
from appliance.core.event import Record
from appliance.core.recent_lines import LEVELS

EXPORT_PAGE = 100
REFUSED_BYTES_SHOWN = 4096


class Records:
    """Reading handlers. Awaited on control's loop; what blocks runs in pools."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    # Dead letters, refused input -----------------------------------------------------------------------------

    async def dead(self, request: web.Request) -> web.Response:
        """A page of dead letters by filter."""
        wanted, most = query(request), limit(request)
        after = number(request, "after", 0, NUMBER_MAX)
        now_ms, skew_ms = self._parts.clock.wall_ms(), self._parts.skew_ms()
        full, payloads = request.query.get("full") == "1", sees_payloads(request)

        def read() -> web.Response:
            page = dead.page(self._parts.log, wanted, now_ms, after, min(most, EXPORT_PAGE) if full else most)
            letters: list[views.DeadView] = [
                views.dead_detail(one, skew_ms, payloads) if full else views.dead_view(one) for one in page.letters
            ]
            request[SHOWN] = len(letters) if full else 0
            return json_reply(replies.DeadPage(letters, page.after_id))

        return await self._parts.searching(read)

    async def dead_count(self, request: web.Request) -> web.Response:
        """How many dead letters a filter matches: letters, people, destinations, the oldest."""
        found = await self._parts.searching(dead.matching, self._parts.log, query(request), self._parts.clock.wall_ms())
        count = replies.DeadCount(len(found.ids), found.people, found.destinations, found.oldest_ms)
        return json_reply(count)

    async def dead_letter(self, request: web.Request) -> web.Response:
        """One dead letter with its payload and what the other side said."""
        letter_id = whole(request.match_info["id"], "a dead letter's id")
        letter = await self._parts.blocking(self._parts.log.dead_letter, letter_id)
        if letter is None:
            raise ApiError(404, "not_found", f"there is no dead letter {letter_id}", "`sternpost dead list` shows them")
        return json_reply(views.dead_detail(letter, self._parts.skew_ms(), sees_payloads(request)))

    async def dead_export(self, request: web.Request) -> web.StreamResponse:
        """All dead letters that a filter matches, as JSON lines, with payloads."""
        wanted, now_ms, skew_ms = query(request), self._parts.clock.wall_ms(), self._parts.skew_ms()

        def lines() -> Iterator[bytes]:
            after = 0
            while True:
                page = dead.page(self._parts.log, wanted, now_ms, after, EXPORT_PAGE)
                yield b"".join(views.wire(views.dead_detail(one, skew_ms, True)) + b"\n" for one in page.letters)
                if not page.after_id:
                    return
                after = page.after_id

        return await streamed(self._parts, request, lines())

    async def refused(self, request: web.Request) -> web.Response:
        """A page of input that never became an event, with the reason and the beginning of its bytes."""
        after, most = number(request, "after", 0, NUMBER_MAX), limit(request)
        payloads = sees_payloads(request)
        inputs = await self._parts.blocking(self._parts.log.refused, min(after, NUMBER_MAX - 1), most)
        shown = [
            replies.RefusedView(
                id=item.id,
                received_ms=item.refused.received_ms,
                source=item.refused.source,
                client=item.refused.client,
                reason=item.refused.reason,
                bytes=len(item.refused.body),
                body=item.refused.body[:REFUSED_BYTES_SHOWN].decode("utf-8", "replace") if payloads else "",
            )
            for item in inputs
        ]
        request[SHOWN] = len(shown)
        return json_reply(replies.RefusedPage(shown, inputs[-1].id if len(inputs) == most else 0))

    # Log and events ------------------------------------------------------------------------------------------

    async def wal_stats(self, request: web.Request) -> web.Response:
        """The log's figures."""
        return json_reply(await self._parts.blocking(self._parts.log.stats))

    async def wal_events(self, request: web.Request) -> web.StreamResponse:
        """The log as JSON lines."""
        chosen = query(request)
        from_ms, to_ms = number(request, "from_ms", 0, NUMBER_MAX), number(request, "to_ms", NUMBER_MAX, NUMBER_MAX)
        clock = self._parts.clock

        def wanted(record: Record) -> bool:
            return not chosen or chosen.matches(RecordSubject(record, clock))

        after = number(request, "after", 0, NUMBER_MAX)
        return await streamed(self._parts, request, dump.lines(self._parts.log, from_ms, to_ms, wanted, after))

    async def trace(self, request: web.Request) -> web.Response:
        """Where one event is."""
        source = request.query.get("source") or None
        payloads = sees_payloads(request)
        broken = self._parts.host.broken()
        tracer = Tracer(
            self._parts.log, self._parts.dispatcher, self._parts.skew_ms(), searches_refused=payloads, broken=broken
        )
        every = request.query.get("all") == "1"
        traced = await self._parts.searching(tracer.trace, request.match_info["message_id"], source, every=every)
        request[SHOWN] = len(traced.events)
        return json_reply(traced if payloads else _without_payloads(traced))

    # Configuration, trails -----------------------------------------------------------------------------------

    async def config(self, request: web.Request) -> web.Response:
        """Every key of the configuration: value, default, where it stands; secrets masked."""
        host = self._parts.host
        found = await self._parts.blocking(settings_view.settings, host.loaded(), host.plugins())
        return json_reply(replies.Settings(file=host.config_file, settings=found))

    async def config_diff(self, request: web.Request) -> web.Response:
        """What a re-load would change, or why it would be refused."""
        return json_reply(await self._parts.blocking(self._config_diff))

    def _config_diff(self) -> replies.ConfigDiff:
        host = self._parts.host
        file, faults = host.examined()
        shown = [
            replies.FaultView(line=one.line, key=one.key, message=logs.masked(one.message), hint=logs.masked(one.hint))
            for one in faults
        ]
        changes = settings_view.changes(host.loaded(), file, host.plugins()) if file and not faults else []
        return replies.ConfigDiff(file=host.config_file, changes=changes, faults=shown)

    async def audit(self, request: web.Request) -> web.Response:
        """A page of the audit trail, newest first."""
        try:
            entries, before = await self._parts.blocking(
                self._parts.audit.newest, limit(request), request.query.get("before", "")
            )
        except ValueError as error:
            raise invalid(str(error), "begin again without `before`") from None
        return json_reply(replies.AuditPage(entries, before))

    async def logs(self, request: web.Request) -> web.Response:
        """The last lines that the process wrote."""
        level = request.query.get("level", "debug")
        if level not in LEVELS:
            raise invalid(f"there is no level {level[:40]!r}", f"one of {', '.join(LEVELS)}")
        lines, last = logs.recent.after(number(request, "after", 0, NUMBER_MAX), level)
        payloads = sees_payloads(request)
        request[SHOWN] = sum(line.level == "debug" for line in lines)
        shown = [
            # Only debug lines may quote payloads.
            replies.LogLine(**{**line._asdict(), "fields": line.fields if payloads or line.level != "debug" else {}})
            for line in lines
        ]
        return json_reply(replies.LogLines(shown, last))


def _without_payloads(traced: Trace) -> Trace:
    for one in traced.events:
        if "payload" in one.event:
            one.event = {**one.event, "payload": None}
        for standing in one.destinations:
            standing.sample = ""
    return traced
