"""The one table of the admin API: every route, who may call it, what it takes and gives.

The application, the OpenAPI document and docs/api.md are made from it, and so are the tests of roles and rights.
"""

from collections.abc import Awaitable, Callable
from typing import Literal, NamedTuple

import msgspec
from aiohttp import web

from appliance.control import replies, views
from appliance.control.deeds import Deeds
from appliance.control.health import Health
from appliance.control.live import Live
from appliance.control.people import replies as people_replies
from appliance.control.people import review_replies
from appliance.control.people.pages import CSV, GRAPHML, PARQUET, PeoplePages
from appliance.control.people.review_pages import ReviewPages
from appliance.control.records import Records
from appliance.control.resources import Resources
from appliance.control.tokens import Role
from appliance.control.trace import Trace
from appliance.identity.review import Suggesting
from appliance.wal.types import LogStats

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
JSON, LINES, EVENTS, TEXT = "application/json", "application/x-ndjson", "text/event-stream", "text/plain"


class Handlers(NamedTuple):
    """Those who answer, of one process."""

    shown: Resources
    kept: Records
    live: Live
    done: Deeds
    people: PeoplePages
    review: ReviewPages


class Parameter(NamedTuple):
    """One parameter of the query string."""

    name: str
    words: str
    kind: Literal["string", "integer"] = "string"
    choices: tuple[str, ...] = ()
    required: bool = False


class Noted(NamedTuple):
    """How the audit trail calls an answer that shows payloads or a secret; see `witness.py`."""

    what: str
    again_s: float = 0.0
    """The same look by the same reader is one line within so long, as consoles look again and again."""


class Route(NamedTuple):
    """One thing that can be asked for."""

    method: Literal["GET", "POST"]
    path: str
    """As OpenAPI writes it; see `PATTERNS`."""
    words: str
    handler: Callable[[Handlers], Handler]
    reply: type[msgspec.Struct] | None
    """None: no JSON."""
    role: Role | None = Role.VIEWER
    """The least that may call it; None: anybody, without a token."""
    payloads: Literal["none", "hidden", "required"] = "none"
    """Whether it shows payloads: never; left out without the right to see them; only with that right."""
    takes: type[msgspec.Struct] | None = None
    """Its body."""
    query: tuple[Parameter, ...] = ()
    statuses: tuple[int, ...] = ()
    """Beside 200 and those that `statuses_of` adds."""
    guarded: bool = False
    """It destroys or moves something: an Idempotency-Key is required."""
    content: str = JSON
    also: tuple[str, ...] = ()
    """Further types of content that may be asked for."""
    noted: Noted | None = None
    """It shows payloads or a secret, where whoever asks may see them."""


PATTERNS = {"id": r"{id:\d+}", "message_id": r"{message_id:.+}", "person": r"{person:.+}"}
"""Parameters of a path that are not one segment of any text."""
_FILTER = Parameter("query", 'which ones, such as `dest:crm code:400 event:"Order*" age:>1h`')
_LIMIT = Parameter("limit", "at most so many, up to 1,000", "integer")
_AFTER_ID = Parameter("after", "go on after this id", "integer")
_AFTER = Parameter("after", "go on after this place, from the page before")
STREAMED = frozenset((LINES, CSV, GRAPHML))
"""Content of lists that go out as they are read: the audit trail has a line of their beginning and one of their end."""
_AGAIN_S = 600.0
_WHO_HIDES: Literal["hidden"] = "hidden"

ROUTES: tuple[Route, ...] = (
    Route("GET", "/health", "How well it is: 200 while commits work, sick parts in words.", lambda of: of.shown.health,
          Health, None, statuses=(503,)),
    Route("GET", "/ready", "Whether an event sent now would reach every destination.", lambda of: of.shown.ready,
          replies.Ready, None, statuses=(503,)),
    Route("GET", "/metrics", "Figures for Prometheus.", lambda of: of.shown.metrics, None, None, content=TEXT),
    Route("GET", "/v1/whoami", "What the token that asks may do.", lambda of: of.shown.whoami, replies.WhoAmI),
    Route("GET", "/v1/overview", "Is data coming in, is it safe, is it leaving, what is ill.",
          lambda of: of.shown.overview, views.Overview, payloads=_WHO_HIDES, noted=Noted("sample.read", _AGAIN_S)),
    Route("GET", "/v1/sources", "Every source with its counts.", lambda of: of.shown.sources, replies.Sources),
    Route("GET", "/v1/sources/{name}/key", "The write key of a source.", lambda of: of.shown.source_key,
          replies.SourceKey, Role.ADMIN, noted=Noted("source.key")),
    Route("POST", "/v1/sources/{name}/pause", "Answer 503 with Retry-After, so that clients keep their events.",
          lambda of: of.done.pause_source, replies.SourceDone, Role.OPERATOR),
    Route("POST", "/v1/sources/{name}/resume", "Take events again.", lambda of: of.done.resume_source,
          replies.SourceDone, Role.OPERATOR),
    Route("POST", "/v1/sources/{name}/rotate-key",
          "Another write key in place of a generated one, which holds 24 h more.",
          lambda of: of.done.rotate_key, replies.RotatedKey, Role.ADMIN, guarded=True),
    Route("GET", "/v1/destinations", "Destinations in the order of the configuration, parked ones last.",
          lambda of: of.shown.destinations, replies.Destinations, payloads=_WHO_HIDES,
          query=(_LIMIT, Parameter("after", "go on after the destination of this name")),
          noted=Noted("sample.read", _AGAIN_S)),
    Route("GET", "/v1/destinations/{name}", "One destination with its configuration.", lambda of: of.shown.destination,
          replies.DestinationDetail, payloads=_WHO_HIDES, noted=Noted("sample.read", _AGAIN_S)),
    Route("GET", "/v1/destinations/{name}/held", "Who waits there, the longest waiting first.",
          lambda of: of.shown.held, replies.Held, query=(_LIMIT, _AFTER)),
    Route("GET", "/v1/destinations/{name}/held/{person}", "What waits there of one person, in order.",
          lambda of: of.shown.held_person, replies.HeldJobs, payloads=_WHO_HIDES, query=(_LIMIT,),
          noted=Noted("held.read", _AGAIN_S)),
    Route("POST", "/v1/destinations/{name}/pause", "Stop deliveries; the position is kept.", lambda of: of.done.pause,
          replies.DestinationDone, Role.OPERATOR),
    Route("POST", "/v1/destinations/{name}/resume", "Deliver again from where it stood.", lambda of: of.done.resume,
          replies.DestinationDone, Role.OPERATOR),
    Route("POST", "/v1/destinations/{name}/test", "Send one event of our own and show what came back.",
          lambda of: of.done.test, replies.Tested, Role.OPERATOR, _WHO_HIDES),
    Route("POST", "/v1/destinations/{name}/drain", "Try everybody now who waits for a next try.",
          lambda of: of.done.drain, replies.Drained, Role.OPERATOR, takes=replies.Expecting, guarded=True),
    Route("POST", "/v1/destinations/{name}/forget", "End a parked destination; what it holds is lost.",
          lambda of: of.done.forget, replies.Forgotten, Role.ADMIN, takes=replies.Expecting, guarded=True),
    Route("POST", "/v1/destinations/{name}/reload", "Load a warehouse again from where its own cursor stands.",
          lambda of: of.done.reload_warehouse, replies.WarehouseReloaded, Role.OPERATOR, statuses=(404, 409),
          guarded=True),
    Route("GET", "/v1/replays", "Replays under way.", lambda of: of.shown.replays, replies.Replays),
    Route("GET", "/v1/replays/count", "How many events at most a replay of a range would go through.",
          lambda of: of.shown.replay_size, replies.ReplaySize, statuses=(409,),
          query=(Parameter("from_ms", "received at this time or later; wall time", "integer", required=True),
                 Parameter("to_ms", "received before this time", "integer", required=True))),
    Route("POST", "/v1/replays", "Deliver a range of the past again, beside the live events.",
          lambda of: of.done.replay, replies.ReplayStarted, Role.OPERATOR, takes=replies.ReplayOrder, statuses=(404,)),
    Route("POST", "/v1/replays/{name}/cancel", "End a replay where it stands; its dead letters stay.",
          lambda of: of.done.cancel_replay, replies.ReplayCancelled, Role.OPERATOR, guarded=True),
    Route("GET", "/v1/dead", "A page of dead letters.", lambda of: of.kept.dead, replies.DeadPage, payloads=_WHO_HIDES,
          query=(_FILTER, _LIMIT, _AFTER_ID, Parameter("full", "1: with payloads, at most 100", choices=("0", "1"))),
          noted=Noted("dead.export")),
    Route("GET", "/v1/dead/count", "What an action on these dead letters would be about.",
          lambda of: of.kept.dead_count, replies.DeadCount, query=(_FILTER,)),
    Route("GET", "/v1/dead/export", "All dead letters that match, as JSON lines, with payloads.",
          lambda of: of.kept.dead_export, None, payloads="required", query=(_FILTER,), content=LINES,
          noted=Noted("dead.export")),
    Route("GET", "/v1/dead/{id}", "One dead letter, with its payload and what the other side said.",
          lambda of: of.kept.dead_letter, views.DeadDetail, payloads=_WHO_HIDES, noted=Noted("dead.read", _AGAIN_S)),
    Route("POST", "/v1/dead/{id}/requeue", "Bring one dead letter back with another event in its original's place.",
          lambda of: of.done.edit, replies.DeadDone, Role.ADMIN, "required", takes=replies.EditAction, guarded=True),
    Route("POST", "/v1/dead/requeue", "Bring dead letters back into their lanes.", lambda of: of.done.requeue,
          replies.DeadDone, Role.OPERATOR, takes=replies.DeadAction, guarded=True),
    Route("POST", "/v1/dead/purge", "Delete dead letters for good.", lambda of: of.done.purge, replies.DeadDone,
          Role.ADMIN, takes=replies.DeadAction, guarded=True),
    Route("GET", "/v1/refused", "A page of input that never became an event.", lambda of: of.kept.refused,
          replies.RefusedPage, payloads=_WHO_HIDES, query=(_LIMIT, _AFTER_ID), noted=Noted("refused.export")),
    Route("GET", "/v1/wal/stats", "Figures of the write-ahead log.", lambda of: of.kept.wal_stats, LogStats),
    Route("GET", "/v1/wal/events", "The write-ahead log as JSON lines.", lambda of: of.kept.wal_events, None,
          payloads="required", content=LINES,
          query=(_FILTER, Parameter("from_ms", "received at this time or later; wall time", "integer"),
                 Parameter("to_ms", "received before this time", "integer"),
                 Parameter("after", "only events above this sequence", "integer")),
          noted=Noted("wal.export")),
    Route("GET", "/v1/events/{message_id}", "Where one event is, at every destination.", lambda of: of.kept.trace,
          Trace, payloads=_WHO_HIDES,
          query=(Parameter("source", "only from this source"),
                 Parameter("all", "1: look through the whole log", choices=("0", "1"))),
          noted=Noted("event.read", _AGAIN_S)),
    Route("GET", "/v1/people", "The people behind an id: ids, what waits, newest events.", lambda of: of.people.people,
          people_replies.People, payloads=_WHO_HIDES, statuses=(409,),
          query=(Parameter("id", "any id, `TYPE:VALUE`, or a person as other answers name it", required=True),
                 Parameter("type", "only ids of this type: user_id, anonymous_id, email, ..."),
                 Parameter("events", "0: nothing of the log, so in a millisecond; with a graph", choices=("0", "1"))),
          noted=Noted("people.find", _AGAIN_S)),
    Route("GET", "/v1/people/merges", "Merges of people that hold, the newest first.", lambda of: of.people.merges,
          people_replies.Merges, payloads=_WHO_HIDES, statuses=(409,),
          query=(_LIMIT, _AFTER, Parameter("all", "1: those too that do not hold any more", choices=("0", "1"))),
          noted=Noted("people.merges", _AGAIN_S)),
    Route("GET", "/v1/people/parting", "Who would be parted from whom by undoing a merge, or forbidding two ids.",
          lambda of: of.people.parting, people_replies.Parting, payloads=_WHO_HIDES, statuses=(403, 404, 409),
          query=(Parameter("merge", "the name of a merge; else two ids"), Parameter("a_type", "type of the first id"),
                 Parameter("a", "the first id"), Parameter("b_type", "type of the second id"),
                 Parameter("b", "the second id")),
          noted=Noted("people.show", _AGAIN_S)),
    Route("GET", "/v1/people/export", "All ids with their people, a row each.", lambda of: of.people.export, None,
          payloads="required", statuses=(409,), content=CSV, also=(PARQUET,),
          query=(Parameter("format", "csv where it is left out", choices=("csv", "parquet")),),
          noted=Noted("people.export")),
    Route("POST", "/v1/people/undo", "Undo a merge: part those whom it joined.", lambda of: of.done.undo_merge,
          people_replies.IdentityDone, Role.OPERATOR, takes=people_replies.Undo, statuses=(404, 503), guarded=True),
    Route("POST", "/v1/people/forbid", "Never let two ids be one person's; where they are, they are parted.",
          lambda of: of.done.forbid, people_replies.IdentityDone, Role.OPERATOR, takes=people_replies.Pair,
          statuses=(404, 503), guarded=True),
    Route("POST", "/v1/people/allow", "Take back that two ids are kept apart; the next event with both decides anew.",
          lambda of: of.done.allow, people_replies.IdentityDone, Role.OPERATOR, takes=people_replies.Pair,
          statuses=(404, 503), guarded=True),
    Route("GET", "/v1/people/candidates", "Everybody with what they said of themselves, as JSON lines.",
          lambda of: of.review.candidates, None, payloads="required", statuses=(409,), content=LINES,
          noted=Noted("people.candidates")),
    Route("GET", "/v1/people/suggestions", "Pairs of people who may be one, the likeliest first.",
          lambda of: of.review.suggestions, review_replies.Suggestions, payloads=_WHO_HIDES, statuses=(404, 409),
          query=(Parameter("state", "open where it is left out", choices=("open", "accepted", "rejected")), _LIMIT,
                 Parameter("after", "go on after this number, from the page before", "integer"),
                 Parameter("number", "this one alone, whatever its state", "integer")),
          noted=Noted("people.suggestions", _AGAIN_S)),
    Route("POST", "/v1/people/suggestions", "Put pairs of people who may be one on the list; nobody is joined by that.",
          lambda of: of.review.suggest, review_replies.SuggestionsTaken, Role.OPERATOR, "required", takes=Suggesting,
          statuses=(503,), guarded=True),
    Route("POST", "/v1/people/accept", "Make one person of the two of a suggestion.", lambda of: of.review.accept,
          people_replies.IdentityDone, Role.OPERATOR, takes=review_replies.Decision, statuses=(404, 503), guarded=True),
    Route("POST", "/v1/people/reject", "Leave the two of a suggestion two people, and do not suggest them again.",
          lambda of: of.review.reject, people_replies.IdentityDone, Role.OPERATOR, takes=review_replies.Decision,
          statuses=(404, 503), guarded=True),
    Route("GET", "/v1/people/{person_id}/graphml", "One person as GraphML, what was left out included.",
          lambda of: of.people.graphml, None, payloads="required", statuses=(409,), content=GRAPHML,
          noted=Noted("people.graphml")),
    Route("GET", "/v1/people/{person_id}", "All that the person graph knows of somebody.", lambda of: of.people.person,
          people_replies.PersonDetail, payloads=_WHO_HIDES, statuses=(409,), noted=Noted("people.show", _AGAIN_S)),
    Route("GET", "/v1/config", "Every key of the configuration: value, default, where it stands.",
          lambda of: of.kept.config, replies.Settings),
    Route("GET", "/v1/config/diff", "What a re-load would change, or why it would be refused.",
          lambda of: of.kept.config_diff, replies.ConfigDiff),
    Route("POST", "/v1/reload", "Read the configuration again.", lambda of: of.done.reload, replies.Reloaded,
          Role.ADMIN, statuses=(409,)),
    Route("GET", "/v1/logs", "The last lines that the process wrote.", lambda of: of.kept.logs, replies.LogLines,
          payloads=_WHO_HIDES,
          query=(_AFTER_ID, Parameter("level", "this one and graver ones",
                                      choices=("debug", "info", "warning", "error"))),
          noted=Noted("logs.debug", _AGAIN_S)),
    Route("GET", "/v1/audit", "A page of the audit trail, newest first.", lambda of: of.kept.audit, replies.AuditPage,
          query=(_LIMIT, Parameter("before", "go on before this place, from the page before"))),
    Route("GET", "/v1/tail", "Events as they come, as server-sent events.", lambda of: of.live.tail, None,
          payloads=_WHO_HIDES, content=EVENTS, statuses=(503,),
          query=(Parameter("point", "where to look", choices=("collected", "processed", "delivered")), _FILTER,
                 Parameter("payload", "0: leave payloads out", choices=("0", "1"))),
          noted=Noted("tail")),
)  # fmt: skip


def statuses_of(route: Route) -> list[int]:
    """Every status that a route may answer, but for bugs."""
    found = {200, 421, *route.statuses}
    if route.role is not None:
        found |= {401}
    if route.role is not None and (route.role > Role.VIEWER or route.payloads == "required" or _searches(route)):
        found |= {403}
    if route.query or route.method == "POST" or "{id}" in route.path:
        found |= {400}
    if route.method == "POST":
        found |= {408, 409, 413}
    if "{" in route.path:
        found |= {404}
    return sorted(found)


def pattern(route: Route) -> str:
    """The route's path as aiohttp writes it."""
    path = route.path
    for name, written in PATTERNS.items():
        path = path.replace(f"{{{name}}}", written)
    return path


def _searches(route: Route) -> bool:
    """A filter may look into payloads."""
    return _FILTER in route.query or route.takes is replies.DeadAction
