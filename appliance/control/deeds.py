"""What the admin API does: one handler per action, from the request's body to `actions` and the answer."""

from aiohttp import web

from appliance.control import replies
from appliance.control.actions import Actions
from appliance.control.parts import Parts, invalid
from appliance.control.people.pages import asking, id_asked, no_graph
from appliance.control.people.replies import IdentityDone, Pair, Undo
from appliance.control.people.views import id_view
from appliance.control.requests import allowed_query, body, json_reply, sees_payloads, who, whole
from appliance.identity import parting
from appliance.identity.acts import Act, Undoing
from appliance.identity.lookup import Lookup
from appliance.identity.rules import Id

IDS_MAX = 10_000


class Deeds:
    """Acting handlers. Awaited on control's loop."""

    def __init__(self, parts: Parts) -> None:
        self._parts, self._actions = parts, Actions(parts)

    # Destinations ----------------------------------------------------------------------------------------------

    async def pause(self, request: web.Request) -> web.Response:
        """Stop deliveries; the position is kept."""
        await self._actions.pause(who(request), request.match_info["name"])
        return json_reply(replies.DestinationDone(request.match_info["name"], "pause"))

    async def resume(self, request: web.Request) -> web.Response:
        """Deliver again from where it stood."""
        await self._actions.resume(who(request), request.match_info["name"])
        return json_reply(replies.DestinationDone(request.match_info["name"], "resume"))

    async def test(self, request: web.Request) -> web.Response:
        """Send one event of our own, outside of lanes and log, and show what came back."""
        result = await self._actions.test(who(request), request.match_info["name"])
        if not sees_payloads(request):
            result = replies.without_sample(result)
        return json_reply(replies.Tested(request.match_info["name"], result))

    async def forget(self, request: web.Request) -> web.Response:
        """End a parked destination: its position and what it holds are gone, its dead letters stay."""
        name, asked = request.match_info["name"], await body(request, replies.Expecting)
        return json_reply(replies.Forgotten(name, await self._actions.forget(who(request), name, asked.expect)))

    async def drain(self, request: web.Request) -> web.Response:
        """Try everybody now who waits for a next try; an open breaker probes."""
        name, asked = request.match_info["name"], await body(request, replies.Expecting)
        return json_reply(replies.Drained(name, await self._actions.drain(who(request), name, asked.expect)))

    async def reload_warehouse(self, request: web.Request) -> web.Response:
        """Load again what the warehouse lacks of what it had, as far as the log reaches."""
        name = request.match_info["name"]
        return json_reply(replies.WarehouseReloaded(name, *await self._actions.reload_warehouse(who(request), name)))

    # Sources ---------------------------------------------------------------------------------------------------

    async def pause_source(self, request: web.Request) -> web.Response:
        """Answer 503 with Retry-After, so that clients keep their events and try again; over a restart too."""
        await self._actions.pause_source(who(request), request.match_info["name"], True)
        return json_reply(replies.SourceDone(request.match_info["name"], "pause"))

    async def resume_source(self, request: web.Request) -> web.Response:
        """Take events again."""
        await self._actions.pause_source(who(request), request.match_info["name"], False)
        return json_reply(replies.SourceDone(request.match_info["name"], "resume"))

    async def rotate_key(self, request: web.Request) -> web.Response:
        """Another write key for a source whose key was generated; the old one is accepted for 24 h."""
        name = request.match_info["name"]
        keys = await self._actions.rotate_key(who(request), name)
        return json_reply(replies.RotatedKey(name, keys.write_key, keys.until_ms))

    # Dead letters ----------------------------------------------------------------------------------------------

    async def requeue(self, request: web.Request) -> web.Response:
        """Bring dead letters back into their lanes, at their original place."""
        asked = await self._dead_action(request)
        query = allowed_query(request, asked.query)
        return json_reply(
            replies.DeadDone("requeue", await self._actions.requeue(who(request), query, asked.ids, asked.expect))
        )

    async def purge(self, request: web.Request) -> web.Response:
        """Delete dead letters for good."""
        asked = await self._dead_action(request)
        query = allowed_query(request, asked.query)
        return json_reply(
            replies.DeadDone("purge", await self._actions.purge(who(request), query, asked.ids, asked.expect))
        )

    async def edit(self, request: web.Request) -> web.Response:
        """Bring one dead letter back with another event in its original's place; messageId and person must stay."""
        letter_id = whole(request.match_info["id"], "a dead letter's id")
        asked = await body(request, replies.EditAction)
        count = await self._actions.edit(who(request), letter_id, bytes(asked.event), asked.expect)
        return json_reply(replies.DeadDone("requeue", count))

    async def _dead_action(self, request: web.Request) -> replies.DeadAction:
        asked = await body(request, replies.DeadAction)
        if len(asked.ids) > IDS_MAX:
            raise invalid(f"at most {IDS_MAX} ids at once", "use a filter")
        return asked

    # People ----------------------------------------------------------------------------------------------------

    async def undo_merge(self, request: web.Request) -> web.Response:
        """Part those whom a merge joined; the same event does not join them again."""
        name, lookup = (await body(request, Undo)).merge, self._lookup()
        merge = await self._parts.blocking(asking, lambda: parting.held(lookup, name))
        return await self._acted_on(request, "people.undo", name, Act(undo=Undoing(merge.name, merge.ids)))

    async def forbid(self, request: web.Request) -> web.Response:
        """Part two ids where they are one person's, and never let them be."""
        pair, target = await self._pair(request)
        return await self._acted_on(request, "people.forbid", target, Act(forbid=pair))

    async def allow(self, request: web.Request) -> web.Response:
        """Forget that two ids were undone, forbidden or left out: the next event with both decides anew."""
        pair, target = await self._pair(request)
        return await self._acted_on(request, "people.allow", target, Act(allow=pair))

    async def _pair(self, request: web.Request) -> tuple[tuple[Id, Id], str]:
        asked, lookup = await body(request, Pair), self._lookup()
        one, two = (id_asked(lookup, each.type, each.value, sees_payloads(request)) for each in (asked.a, asked.b))
        await self._parts.blocking(asking, lambda: parting.of_pair(lookup, one, two))
        # The audit trail is for everybody's eyes.
        shown = (id_view(each, payloads=False) for each in (one, two))
        return (one, two), " ".join(f"{each.type}:{each.value or '***'}" for each in shown)

    def _lookup(self) -> Lookup:
        if self._parts.lookup is None:
            raise no_graph()
        return self._parts.lookup

    async def _acted_on(self, request: web.Request, what: str, target: str, act: Act) -> web.Response:
        outcome = await self._actions.identity(who(request), what, target, act)
        return json_reply(IdentityDone(outcome.done, outcome.changed, outcome.people))

    # The rest --------------------------------------------------------------------------------------------------

    async def replay(self, request: web.Request) -> web.Response:
        """Deliver a range of the past to a destination again, beside the live events."""
        asked = await body(request, replies.ReplayOrder)
        criteria = {key: value for key in ("type", "event", "user") if (value := getattr(asked, key))}
        name = await self._actions.replay(who(request), asked.destination, asked.from_ms, asked.to_ms, criteria)
        started = (await self._parts.blocking(self._parts.log.replays)).get(name)
        events = max(0, started.until - started.low) if started else 0
        return json_reply(replies.ReplayStarted(name, events))

    async def cancel_replay(self, request: web.Request) -> web.Response:
        """End a replay where it stands; what it delivered stays delivered, its dead letters stay."""
        name = request.match_info["name"]
        await self._actions.cancel_replay(who(request), name)
        return json_reply(replies.ReplayCancelled(name, True))

    async def reload(self, request: web.Request) -> web.Response:
        """Read the configuration again; a bad file is refused and the running one stays."""
        return json_reply(replies.Reloaded(await self._actions.reload(who(request))))
