"""The admin API of people who may be one: whom to compare, what was found, and what somebody decides about it."""

from collections.abc import Iterator

from aiohttp import web

from appliance.control import views
from appliance.control.actions import Actions
from appliance.control.lines import streamed
from appliance.control.parts import ApiError, Parts, invalid
from appliance.control.people.pages import no_graph
from appliance.control.people.replies import IdentityDone
from appliance.control.people.review_replies import (
    Decision,
    SuggestedPerson,
    Suggestions,
    SuggestionsTaken,
    SuggestionView,
)
from appliance.control.people.views import id_view
from appliance.control.requests import NUMBER_MAX, SHOWN, body, json_reply, limit, number, sees_payloads, who
from appliance.identity import suggested
from appliance.identity.acts import Act
from appliance.identity.candidates import candidates
from appliance.identity.lookup import Lookup
from appliance.identity.review import ACCEPTED, OPEN, REJECTED, REPLACED, Suggesting
from appliance.identity.suggested import Suggested

STATES = (OPEN, ACCEPTED, REJECTED)
_LIST = "`sternpost people suggestions` lists those that are open"


class ReviewPages:
    """Handlers. Awaited on control's loop; what blocks runs in pools."""

    def __init__(self, parts: Parts) -> None:
        self._parts, self._actions = parts, Actions(parts)

    async def candidates(self, request: web.Request) -> web.StreamResponse:
        """Everybody with what they said of themselves, as JSON lines."""
        lookup = self._lookup()

        def lines() -> Iterator[bytes]:
            for some in candidates(lookup):
                yield b"".join(views.wire(one) + b"\n" for one in some)

        return await streamed(self._parts, request, lines())

    async def suggestions(self, request: web.Request) -> web.Response:
        """A page of suggestions, or one by its number."""
        lookup, payloads, most = self._lookup(), sees_payloads(request), limit(request)
        state = request.query.get("state", OPEN)
        after, wanted = (number(request, name, 0, NUMBER_MAX) for name in ("after", "number"))
        if state not in STATES:
            raise invalid(f"there is no state {state[:40]!r}", f"one of {', '.join(STATES)}")

        def read() -> Suggestions:
            if wanted:
                return Suggestions([_view(self._one(lookup, wanted), payloads)], 0, 1)
            page = suggested.suggested(lookup, state, most + 1, after)
            more, page = len(page) > most, page[:most]
            shown = [_view(one, payloads) for one in page]
            return Suggestions(shown, page[-1].number if more else 0, suggested.count(lookup, state))

        try:
            found = await self._parts.blocking(read)
        except ValueError as error:
            raise invalid(str(error), "begin with the first page") from None
        request[SHOWN] = len(found.suggestions)
        return json_reply(found)

    async def suggest(self, request: web.Request) -> web.Response:
        """Put what a search has found on the list."""
        found = await body(request, Suggesting)
        self._lookup()
        target = f"{len(found.pairs)} pair{'' if len(found.pairs) == 1 else 's'}"
        outcome = await self._actions.identity(who(request), "people.suggest", target, Act(suggest=found))
        return json_reply(SuggestionsTaken(outcome.count, outcome.done))

    async def accept(self, request: web.Request) -> web.Response:
        """Make one person of two."""
        one = await self._undecided(request, "accepted", ACCEPTED)
        return await self._decided(request, "people.accept", one, Act(link=one.ids))

    async def reject(self, request: web.Request) -> web.Response:
        """Leave two people two, and do not suggest them again."""
        one = await self._undecided(request, "rejected", ACCEPTED, REJECTED)
        return await self._decided(request, "people.reject", one, Act(reject=one.ids))

    async def _undecided(self, request: web.Request, words: str, *decided: str) -> Suggested:
        asked, lookup = await body(request, Decision), self._lookup()
        one = await self._parts.blocking(self._one, lookup, asked.number)
        if one.state == REPLACED:
            said = f"suggestion {one.number} was not found again by a newer search"
            raise ApiError(409, "refused", f"{said}; nothing was done", _LIST)
        if one.state in decided:
            said = f"suggestion {one.number} was {one.state} already"
            accept = f"`sternpost people accept {one.number}` makes one person of them after all"
            undo = "`sternpost people undo` takes a merge back" if one.state == ACCEPTED else accept
            raise ApiError(409, "refused", f"{said}, it is not {words} now", undo)
        return one

    async def _decided(self, request: web.Request, what: str, one: Suggested, act: Act) -> web.Response:
        # The audit trail is for everybody's eyes.
        shown = (id_view(id, payloads=False) for id in one.ids)
        target = " ".join([str(one.number), *(f"{id.type}:{id.value or '***'}" for id in shown)])
        outcome = await self._actions.identity(who(request), what, target, act)
        return json_reply(IdentityDone(outcome.done, outcome.changed, outcome.people))

    def _one(self, lookup: Lookup, wanted: int) -> Suggested:
        if (found := suggested.one_suggested(lookup, wanted)) is None:
            raise ApiError(404, "not_found", f"there is no suggestion {wanted}", _LIST)
        return found

    def _lookup(self) -> Lookup:
        if self._parts.lookup is None:
            raise no_graph()
        return self._parts.lookup


def _view(one: Suggested, payloads: bool) -> SuggestionView:
    first, second = (
        SuggestedPerson(id_view(id, payloads), person) for id, person in zip(one.ids, one.people, strict=True)
    )
    return SuggestionView(
        number=one.number,
        state=one.state,  # type: ignore[arg-type]  # the graph knows no others
        probability=one.probability,
        weight=one.weight,
        a=first,
        b=second,
        why=one.why if payloads else [],
        made_ms=one.made_ms,
    )
