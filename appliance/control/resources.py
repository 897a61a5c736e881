"""What the admin API shows of the present: health, overview, sources, destinations and who waits there, replays."""

import asyncio
import os
import socket
from collections.abc import Sequence

from aiohttp import web

from appliance.control import replies, views
from appliance.control.destination_views import (
    DestinationView,
    Kept,
    broken_view,
    destination_view,
    parked_view,
    skip_view,
)
from appliance.control.health import Health, report, unready
from appliance.control.parts import ApiError, Parts, invalid, unknown_destination, unknown_source
from appliance.control.ports import DestinationStatus, Host
from appliance.control.requests import HOLDER, SHOWN, json_reply, limit, sees_payloads, whole
from appliance.control.settings_view import settings
from appliance.core.event import event_name, unpack_event
from appliance.core.metrics import CONTENT_TYPE
from appliance.deliver.reviving import replay_range
from appliance.wal.types import HeldHead, HeldJob, LogStats

SKIPS_SHOWN_MAX = 20
READY_COMMIT_S = 2.0
_NEVER_MS = 1 << 62


class Resources:
    """Reading handlers. Awaited on control's loop; what blocks runs in pools."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    # Health ----------------------------------------------------------------------------------------------------

    def health_now(self) -> Health:
        """How well the appliance is; blocks for a short read, any thread."""
        log = self._parts.log
        if log.failed is not None:
            return report(str(log.failed), None, (), ())
        return self._health(log.stats(), self._parts.dispatcher.status())

    def _health(self, stats: LogStats, destinations: Sequence[DestinationStatus]) -> Health:
        failed = self._parts.log.failed
        faults = [*_refusal_words(self._parts.host), *self._parts.host.faults()]
        return report(str(failed) if failed else "", stats, destinations, faults)

    async def health(self, request: web.Request) -> web.Response:
        """200 while commits work; sick parts in its words."""
        health = await self._parts.probing(self.health_now)
        return json_reply(health, health.status)

    async def ready(self, request: web.Request) -> web.Response:
        """200 when an event sent now would be committed and delivered everywhere; tries a commit."""
        words = [] if self._parts.host.collect_url else ["the collector does not listen"]
        try:
            written = asyncio.wrap_future(self._parts.log.write(lambda transaction: None))
            await asyncio.wait_for(written, READY_COMMIT_S)
        except Exception as error:  # whatever it is, the log does not commit now
            words.append(f"log: does not commit: {str(error) or type(error).__name__}")
        words += await self._parts.probing(self.unready_now)
        return json_reply(replies.Ready(not words, words), 503 if words else 200)

    def unready_now(self) -> list[str]:
        """Why an event sent now would not reach every destination; blocks for a short read, any thread."""
        health = self.health_now()
        stats = None if self._parts.log.failed else self._parts.log.stats()
        return unready(health, stats, self._parts.dispatcher.status()) + list(self._parts.host.faults())

    async def metrics(self, request: web.Request) -> web.Response:
        """Prometheus text."""
        body = await self._parts.probing(self._parts.metrics.exposition)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})

    # Overview --------------------------------------------------------------------------------------------------

    async def whoami(self, request: web.Request) -> web.Response:
        """What the token that asks may do."""
        holder = request[HOLDER]
        version, appliance = self._parts.host.version, socket.gethostname()
        return json_reply(replies.WhoAmI(holder.name, str(holder.role), holder.payloads, version, appliance))

    async def overview(self, request: web.Request) -> web.Response:
        """Is data coming in, is it safe, is it leaving, what is ill."""
        role, payloads = str(request[HOLDER].role), sees_payloads(request)
        overview = await self._parts.blocking(self._overview, role, payloads)
        request[SHOWN] = sum(map(_has_sample, overview.destinations))
        return json_reply(overview)

    def _overview(self, role: str, payloads: bool) -> views.Overview:
        parts = self._parts
        stats, statuses = parts.log.stats(), list(parts.dispatcher.status())
        health = self._health(stats, statuses)
        return views.Overview(
            appliance=socket.gethostname(),
            role=role,
            version=parts.host.version,
            pid=os.getpid(),
            started_ms=parts.started_ms,
            now_ms=parts.clock.wall_ms(),
            config_file=parts.host.config_file,
            data=str(parts.data),
            collect_url=parts.host.collect_url,
            health=health.health,
            sick=health.sick,
            refused_reload=_refused_reload(parts.host),
            sources=self._sources(),
            log=stats,
            dead_total=stats.dead.count,
            refused_total=stats.refused.count,
            destinations=self._destinations(statuses, payloads),
            replays=self._replays(),
        )

    async def sources(self, request: web.Request) -> web.Response:
        """Every source with its counts."""
        return json_reply(replies.Sources(await self._parts.blocking(self._sources)))

    def _sources(self) -> list[views.SourceView]:
        return [views.source_view(status) for status in self._parts.collector.status()]

    async def source_key(self, request: web.Request) -> web.Response:
        """The write key of a source, for tools on this machine."""
        name = request.match_info["name"]
        source = self._parts.host.sources().get(name)
        if source is None:
            raise unknown_source(name)
        return json_reply(replies.SourceKey(name, source.write_key.reveal()))

    # Destinations ----------------------------------------------------------------------------------------------

    async def destinations(self, request: web.Request) -> web.Response:
        """Destinations in the order of the configuration, parked ones last."""
        most, after = limit(request, 1_000), request.query.get("after", "")
        shown = await self._parts.blocking(self._destinations_now, sees_payloads(request))
        names = [view.name for view in shown]
        if after and after not in names:
            raise invalid(f"there is no destination {after[:80]!r} to go on after", "begin again without `after`")
        first = names.index(after) + 1 if after else 0
        page = shown[first : first + most]
        more = first + most < len(shown)
        request[SHOWN] = sum(map(_has_sample, page))
        return json_reply(replies.Destinations(page, page[-1].name if more else "", len(shown)))

    async def destination(self, request: web.Request) -> web.Response:
        """One destination with its configuration."""
        name, payloads = request.match_info["name"], sees_payloads(request)
        shown = {view.name: view for view in await self._parts.blocking(self._destinations_now, payloads)}
        if name not in shown:
            raise unknown_destination(name)
        request[SHOWN] = int(_has_sample(shown[name]))
        host = self._parts.host
        config = await self._parts.blocking(settings, host.loaded(), host.plugins(), ("destinations", name))
        values = {field: getattr(shown[name], field) for field in DestinationView.__struct_fields__}
        return json_reply(replies.DestinationDetail(**values, config=config))

    def _destinations_now(self, payloads: bool) -> list[DestinationView]:
        shown, skew_ms = self._destinations(list(self._parts.dispatcher.status()), payloads), self._parts.skew_ms()
        for view in shown:
            skips = self._parts.log.skips(view.name)[-SKIPS_SHOWN_MAX:]
            view.skips = [skip_view(skip, skew_ms) for skip in skips]
        return shown

    def _destinations(self, statuses: list[DestinationStatus], payloads: bool) -> list[DestinationView]:
        log, configured, sources = self._parts.log, self._parts.host.configured(), list(self._parts.host.sources())
        replays = log.replays()
        shown = [destination_view(one, sources, payloads) for one in statuses if one.name not in replays]
        known, positions, broken = {view.name for view in shown}, log.destinations(), self._parts.host.broken()
        for name, plugin in configured.items():
            if name in broken and name not in known and name in positions:
                takes = self._parts.host.loaded().config.destinations[name].sources
                kept = self._kept(name, positions[name].low)
                shown.append(broken_view(name, plugin, sources if takes is None else takes, broken[name], kept))
        parked = [name for name in positions if name not in known and name not in configured]
        return shown + [parked_view(name, self._kept(name, positions[name].low)) for name in parked]

    def _kept(self, name: str, low: int) -> Kept:
        log = self._parts.log
        return Kept(low, log.last_sequence, len(log.held_heads(name)), log.held_size(name)[0])

    async def held(self, request: web.Request) -> web.Response:
        """Who waits at one destination: the head of every held lane, the longest waiting first."""
        name, most, after = request.match_info["name"], limit(request), request.query.get("after", "")
        begin = _place_from(after)
        await self._must_be_known(name)
        heads = sorted(await self._parts.blocking(self._parts.log.held_heads, name), key=_place)
        page = [head for head in heads if _place(head) > begin][: most + 1]
        more, page = len(page) > most, page[:most]
        skew_ms = self._parts.skew_ms()
        shown = [views.held_view(head, skew_ms) for head in page]
        position = "-".join(map(str, _place(page[-1]))) if more else ""
        return json_reply(replies.Held(len(heads), shown, position))

    async def held_person(self, request: web.Request) -> web.Response:
        """What waits of one person at a destination, in order."""
        name, person = request.match_info["name"], request.match_info["person"]
        await self._must_be_known(name)
        jobs = await self._parts.blocking(self._parts.log.held_jobs, name, person, limit(request))
        skew_ms, payloads = self._parts.skew_ms(), sees_payloads(request)
        request[SHOWN] = len(jobs)
        return json_reply(replies.HeldJobs(person, [_job_view(job, skew_ms, payloads) for job in jobs]))

    async def _must_be_known(self, name: str) -> None:
        log = self._parts.log
        if name not in self._parts.host.configured() and not await self._parts.blocking(
            lambda: name in log.destinations() or name in log.replays()
        ):
            raise unknown_destination(name)

    async def replays(self, request: web.Request) -> web.Response:
        """Replays under way."""
        return json_reply(replies.Replays(await self._parts.blocking(self._replays)))

    async def replay_size(self, request: web.Request) -> web.Response:
        """How many events a replay of a range would go through at most; 409 where the log holds none of that time."""
        from_ms, to_ms = (whole(request.query.get(name, ""), name) for name in ("from_ms", "to_ms"))
        if from_ms >= to_ms:
            raise invalid("a replay ends after it begins", "give --from before --to")
        try:
            first, until = await self._parts.blocking(replay_range, self._parts.log, from_ms, to_ms)
        except ValueError as error:
            raise ApiError(409, "refused", str(error)) from None
        return json_reply(replies.ReplaySize(max(0, until - first + 1)))

    def _replays(self) -> list[views.ReplayView]:
        return [views.replay_view(name, cursor) for name, cursor in self._parts.log.replays().items()]


def _refused_reload(host: Host) -> views.RefusedReload | None:
    refused = host.refused_reload()
    if refused is None:
        return None
    return views.RefusedReload(refused.when_ms, host.config_file, [str(fault) for fault in refused.faults])


def _refusal_words(host: Host) -> list[str]:
    """One sentence about a re-load that was refused: the first fault, how many more, what to do."""
    refused = host.refused_reload()
    if refused is None:
        return []
    more = len(refused.faults) - 1
    others = f" (and {more} more: `sternpost check --config {host.config_file}`)" if more else ""
    words = f"configuration: the last re-load was refused, and the running configuration stays: {refused.faults[0]}"
    return [f"{words}{others}; mend the file, then `sternpost reload`"]


def _has_sample(view: DestinationView) -> bool:
    """Whether a request to it, or an answer, is shown."""
    return bool(view.last_error_sample or any(kind.sample for kind in view.errors))


def _place(head: HeldHead) -> tuple[int, int, int]:
    """Where a person stands among those who wait."""
    return (head.first_failed_ms or _NEVER_MS, head.sequence, head.part)


def _place_from(text: str) -> tuple[int, int, int]:
    if not text:
        return (-1, -1, -1)
    steps = text.split("-")
    if len(steps) != 3 or not all(step.isascii() and step.isdigit() and len(step) < 20 for step in steps):
        raise ApiError(400, "invalid", f"{text[:40]!r} is no place in this list", "take `after` of the page before")
    first, second, third = map(int, steps)
    return (first, second, third)


def _job_view(job: HeldJob, skew_ms: int, payloads: bool) -> replies.HeldJobView:
    event = unpack_event(job.event)
    return replies.HeldJobView(
        sequence=job.sequence,
        part=job.part,
        attempts=job.attempts,
        next_try_ms=job.next_try_ms + skew_ms if job.next_try_ms else 0,
        first_failed_ms=job.first_failed_ms + skew_ms if job.first_failed_ms else 0,
        error=job.error,
        message_id=event.message_id,
        type=event.type,
        event=event_name(event.json),
        bytes=len(event.json),
        payload=views.raw_json(event.json) if payloads else views.NOTHING,
    )
