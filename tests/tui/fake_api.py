"""A fake admin API: a real server with typed, fixed data, some of it hostile, that notes what it is asked to do."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from aiohttp import web

NOW_MS = 1_900_000_000_000
TOKEN = "a-token-of-the-test"
MINUTE_MS, HOUR_MS = 60_000, 3_600_000
HOSTILE = "\x1b[31mred\x1b[0m [bold]x[/] \u202egnp.exe\u2066 \x07\r\n\u2028end"
"""ANSI escapes, markup, marks that turn the reading direction, a bell, line breaks."""
SAMPLE = (
    'POST /hook HTTP/1.1\nHost: crm.example\nAuthorization: ***\n\n{"type":"track"}\n\n'
    'HTTP/1.1 503 Service Unavailable\nRetry-After: 30\n\n{"error":"overloaded"}'
)


class Acted(NamedTuple):
    """One action that was asked for."""

    path: str
    body: Any
    key: str


def source(name: str, **given: Any) -> dict[str, Any]:
    return {
        "name": name, "enabled": True, "state": "running", "requests_total": 9_000, "accepted_total": 812_345,
        "duplicates_total": 12, "refused_total": 40, "repaired_total": 3, "last_received_ms": NOW_MS - 400,
        "accepted_per_s": 1_240.0, "refused_5m": 0, **given,
    }  # fmt: skip


def destination(name: str, **given: Any) -> dict[str, Any]:
    return {
        "name": name, "plugin": "webhook", "kind": "destination", "state": "running", "enabled": True,
        "sequence_low": 812_000, "lag_events": 12, "oldest_undelivered_age_ms": 400, "held_people": 0,
        "held_events": 0, "in_flight": 4, "delivered_total": 811_900, "failed_total": 31, "aborted_total": 2,
        "filtered_total": 411, "latency_p50_ms": 8.2, "latency_p95_ms": 21.0, "last_error": "", "last_error_ms": 0,
        "last_error_sample": "", "breaker": {"state": "closed", "cause": "", "opened_ms": 0, "next_probe_ms": 0},
        "errors": [], "hung": 0, "delivered_per_s": 620.0, "failed_5m": 0, "sources": ["web"], **given,
    }  # fmt: skip


def failing(name: str) -> dict[str, Any]:
    """One whose breaker is open, with people who wait and an error with its sample."""
    reason = "HTTP 503 Service Unavailable"
    return destination(
        name, state="open", lag_events=18_204, oldest_undelivered_age_ms=14 * MINUTE_MS, held_people=23,
        held_events=410, delivered_per_s=0.0, failed_5m=57, latency_p95_ms=2_000.0, last_error=reason,
        last_error_ms=NOW_MS - 2_000, last_error_sample=SAMPLE,
        breaker={"state": "open", "cause": "23 people failed", "opened_ms": NOW_MS - 14 * MINUTE_MS,
                 "next_probe_ms": NOW_MS + 8_000},
        errors=[
            {"reason": reason, "count": 57, "last_ms": NOW_MS - 2_000, "sample": SAMPLE},
            {"reason": f"connect failed {HOSTILE}", "count": 3, "last_ms": NOW_MS - 9 * MINUTE_MS, "sample": HOSTILE},
        ],
    )  # fmt: skip


def event(number: int, **given: Any) -> dict[str, Any]:
    return {
        "sequence": 812_000 + number, "received_ms": NOW_MS - number * 250, "source": "web", "type": "track",
        "event": "Order Completed", "message_id": f"m-{number:04}", "user_id": f"u{number}", "anonymous_id": "a-1",
        "client": "198.51.100.7", "sent_at": "", "flags": 0,
        "payload": {"type": "track", "event": "Order Completed", "properties": {"total": 12.50, "n": number}}, **given,
    }  # fmt: skip


def dead(number: int, **given: Any) -> dict[str, Any]:
    return {
        "id": number, "destination": "crm", "person": f"u{number % 7}", "sequence": 700_000 + number, "part": 0,
        "stage": "deliver", "reason": "HTTP 400 email is not valid", "kind": "HTTP 400", "code": 400, "attempts": 1,
        "buried_ms": NOW_MS - number * HOUR_MS, "source": "web", "type": "track", "event": "Order Completed",
        "message_id": f"m-{number:04}", "user_id": f"u{number % 7}", "anonymous_id": "a-1",
        "received_ms": NOW_MS - number * HOUR_MS - 5_000, **given,
    }  # fmt: skip


def setting(key: str, value: Any, **given: Any) -> dict[str, Any]:
    return {
        "key": key, "value": value, "default": None, "doc": f"What {key} is for.", "origin": "file",
        "file": "/etc/sternpost/sternpost.toml", "line": 12, "restart": False, **given,
    }  # fmt: skip


class FakeApi:
    """Data that tests may change, actions that they may look at. `fault` answers every request with that status; while
    `answers` is not set, none is answered."""

    def __init__(self) -> None:
        self.seconds = 0
        self.acted: list[Acted] = []
        self.asked: list[str] = []
        self.role, self.payloads = "admin", True
        self.refused_reload: dict[str, Any] | None = None
        self.fault = 0
        self.answers = asyncio.Event()
        self.answers.set()
        self.changed_to = 0
        """Where not 0: the next action answers 409, and so many dead letters there are from then on."""
        self.ids_total = 5
        """0: without a person graph."""
        self.lost_answers = 0
        """So many actions are done, and their answers lost."""
        self.destinations = [destination("warehouse-feed", plugin="jsonl"), failing("crm"),
                             destination(f"evil {HOSTILE}", state="paused", plugin="mail"),
                             destination("old-ads", state="parked", plugin="", enabled=False, lag_events=90_000,
                                         held_people=2, held_events=7, delivered_per_s=0.0)]  # fmt: skip
        self.sources = [source("web"), source("cameras", state="paused", accepted_per_s=0.0, refused_5m=4)]
        self.letters = [dead(number) for number in range(1, 13)]
        self.letters[2].update(event=HOSTILE, user_id=HOSTILE, person=HOSTILE, reason=f"refused: {HOSTILE}")
        self.letters[3].update(destination="ads", code=None, reason="plug-in fault: KeyError 'email'", kind="fault")
        self.replays = [{"name": "crm#1", "destination": "crm", "sequence_low": 400, "sequence_until": 1_000,
                         "events_left": 600, "delivered": 400, "criteria": {"type": "track"}}]  # fmt: skip
        self.tail = [event(number) for number in range(6)]
        self.tail[1].update(event=HOSTILE, user_id=HOSTILE, payload={HOSTILE: HOSTILE})
        self.tail_open = 0
        self.log_lines = [{"id": 1, "when_ms": NOW_MS - 9_000, "level": "warning", "logger": "deliver",
                           "event": "breaker_opened", "fields": {"destination": "crm", "cause": HOSTILE}},
                          {"id": 2, "when_ms": NOW_MS - 1_000, "level": "info", "logger": "control",
                           "event": "reloaded", "fields": {}}]  # fmt: skip

    def pass_a_second(self) -> None:
        """Time goes on by a second, and counters with it, faster and slower by turns."""
        self.seconds += 1
        more = 1_000 + 400 * (self.seconds % 5)
        self.sources[0]["accepted_total"] += more
        self.destinations[0]["delivered_total"] += more - 200 * (self.seconds % 3)

    # Serving ---------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        """Serve on a free port; yields the address."""
        app = web.Application(middlewares=[self._guard])
        for path, answer in self._resources().items():
            app.router.add_get(path, answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.asked.append(request.path_qs)
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return _refused(401, "unauthorized", "the token is wrong")
        await self.answers.wait()
        if self.fault:
            return _refused(self.fault, "internal", f"a fault for the test {HOSTILE}")
        if request.method == "POST":
            return await self._act(request)
        try:
            reply: web.StreamResponse = await handler(request)
        except web.HTTPNotFound:
            return _refused(404, "not_found", "there is no such resource")
        return reply

    def _resources(self) -> dict[str, Any]:
        return {
            "/v1/whoami": _json(lambda request: {"name": "test", "role": self.role, "payloads": self.payloads,
                                                 "version": "0.1.0", "appliance": "edge-7"}),
            "/v1/overview": _json(lambda request: self.overview()),
            "/v1/destinations": _json(self._destinations),
            "/v1/destinations/{name}": _json(self._destination),
            "/v1/destinations/{name}/held": _json(lambda request: self.held()),
            "/v1/dead": _json(self._dead),
            "/v1/dead/count": _json(lambda request: self._count(self._matching(request))),
            "/v1/dead/export": self._export,
            r"/v1/dead/{id:\d+}": _json(self._letter),
            "/v1/people": _json(lambda request: {"people": [self.person()] if request.query["id"] else [],
                                                 "scanned_events": 200_000, "complete": False}),
            "/v1/people/parting": _json(lambda request: self.parting()),
            "/v1/people/{person}": _json(lambda request: self.person_detail()),
            "/v1/events/{id}": _json(self._trace),
            "/v1/replays": _json(lambda request: {"replays": self.replays}),
            "/v1/wal/stats": _json(lambda request: self.overview()["log"]),
            "/v1/config": _json(lambda request: {"file": "/etc/sternpost/sternpost.toml", "settings": self.settings()}),
            "/v1/config/diff": _json(lambda request: self.diff()),
            "/v1/audit": _json(lambda request: {"audit": self.audit()}),
            "/v1/logs": _json(self._logs),
            "/v1/tail": self._tail,
        }  # fmt: skip

    # Data ------------------------------------------------------------------------------------------------------

    def overview(self) -> dict[str, Any]:
        pile = {"count": 410, "bytes": 2_400_000, "bytes_max": 64_000_000}
        log = {
            "log_id": "5f0c2a", "state": "running", "fill": 0.42, "bytes": 902_000_000, "bytes_max": 2_147_483_648,
            "file_bytes": 1_000_000_000, "first_sequence": 1, "last_sequence": 812_345, "oldest_ms": 51 * HOUR_MS,
            "blocks": 9_211, "block_bytes": 880_000_000, "retention_s": 259_200.0, "dedup_ids": 200_000, "held": pile,
            "dead": {**pile, "count": len(self.letters)}, "refused": {**pile, "count": 44}, "events_total": self.sources[0]["accepted_total"],
            "event_bytes_total": 1, "stored_bytes_total": 1, "duplicates_total": 12, "commits_total": 9_211,
            "commit_p50_ms": 0.8, "commit_p99_ms": 4.1, "queue_bytes": 20_480, "queue_bytes_max": 67_108_864,
            "dead_evicted_total": 0, "refused_evicted_total": 0, "events_dropped_total": 0, "ballast": True,
            "quarantined": "", "full_in_s": 280_000.0, "a_field_of_tomorrow": 1,
        }  # fmt: skip
        return {
            "version": "0.1.0", "pid": 1, "started_ms": NOW_MS - 77 * HOUR_MS, "now_ms": NOW_MS + self.seconds * 1_000,
            "config_file": "/etc/sternpost/sternpost.toml", "data": "/var/lib/sternpost",
            "collect_url": "http://127.0.0.1:8080", "health": "degraded", "sick": ["crm: open, HTTP 503"],
            "sources": self.sources, "log": log, "destinations": self.destinations, "replays": self.replays,
            "appliance": "edge-7", "dead_total": len(self.letters), "refused_total": 44, "role": self.role,
            "refused_reload": self.refused_reload,
        }  # fmt: skip

    def held(self) -> dict[str, Any]:
        held = [{"person": person, "sequence": 1, "part": 0, "attempts": 4, "next_try_ms": NOW_MS + 12_000,
                 "first_failed_ms": NOW_MS - 14 * MINUTE_MS, "error": "HTTP 503", "events": 18, "bytes": 9_000}
                for person in ("u42", HOSTILE, "u7")]  # fmt: skip
        return {"people": 23, "held": held, "after": ""}

    def person(self) -> dict[str, Any]:
        head = self.held()["held"][0]
        return {
            "person": "u42",
            "ids": {"anonymousId": ["a-1", "a-9", HOSTILE], "userId": ["u42"]},
            "queues": [{"destination": "crm", "state": "held", "events": 18, "head": head},
                       {"destination": "warehouse-feed", "state": "clear", "events": 0, "head": None}],
            "events": [event(number, user_id="u42") for number in range(4)] + [event(9, event=HOSTILE)],
            "ids_total": self.ids_total,
        }  # fmt: skip

    def person_detail(self) -> dict[str, Any]:
        def one(type: str, value: str, **given: Any) -> dict[str, Any]:
            return {"type": type, "value": value, "first_seen_ms": NOW_MS - 9 * HOUR_MS, "last_seen": "2030-03-17",
                    "edges": 1, "shared": False, "unique_ids": 1, **given}  # fmt: skip

        merge = {"merge": "17", "when_ms": NOW_MS - HOUR_MS, "loser": "u41", "winner": "u42", "message_id": "m-0017",
                 "source": "web", "holds": True, "ended": "", "ids": [one("user_id", "u42"), one("user_id", HOSTILE)]}  # fmt: skip
        undone = {**merge, "merge": "9", "holds": False, "ended": "undone by an operator",
                  "ids": [one("email", "ann@example.com"), one("user_id", "u42")]}  # fmt: skip
        return {
            "person": "u42", "was": ["u41"],
            "members": [one("user_id", "u42"), one("anonymous_id", "a-1"), one("anonymous_id", HOSTILE),
                        one("email", "ann@example.com"), one("phone", "")],
            "left_out": [{"id": one("anonymous_id", "a-1"), "other": one("user_id", "u7"), "other_person": "u7",
                          "reason": "two people with an id of a type that is unique"}],
            "left_out_total": 1, "merges": [merge, undone], "forbidden": [],
            "devices": [one("device_id", "kiosk", shared=True, unique_ids=5, person="u99")],
        }  # fmt: skip

    def parting(self) -> dict[str, Any]:
        ids = [{"type": "user_id", "value": "u42"}, {"type": "email", "value": "ann@example.com"}]
        return {"people": [{"ids": ids}, {"ids": [{"type": "user_id", "value": HOSTILE}]}]}

    def settings(self) -> list[dict[str, Any]]:
        return [
            setting("collect.listen", "127.0.0.1:8080", default="127.0.0.1:8080", origin="default", line=None, restart=True),
            setting("destinations.crm.url", "https://crm.example/hook"),
            setting("destinations.crm.token", "***", line=14),
            setting("wal.disk_bytes_max", 2_147_483_648, default=2_147_483_648, origin="default", line=None),
            setting("sources.web.write_key", HOSTILE, origin="generated", line=None),
        ]  # fmt: skip

    def diff(self) -> dict[str, Any]:
        changes = [
            {
                "key": "destinations.crm.url",
                "running": "https://crm.example/hook",
                "file": "https://crm2.example/hook",
                "restart": False,
            },
            {"key": "collect.listen", "running": "127.0.0.1:8080", "file": "0.0.0.0:8080", "restart": True},
        ]
        return {"file": "/etc/sternpost/sternpost.toml", "changes": changes, "faults": []}  # fmt: skip

    def audit(self) -> list[dict[str, Any]]:
        return [
            {"when": "2030-03-17T17:40:00.000Z", "who": "admin", "what": "dead.purge", "user": "mia", "from": "::1",
             "target": "dest:ads", "count": 12, "outcome": "done"},
            {"when": "2030-03-17T17:39:00.000Z", "who": "operator", "what": "destination.pause", "target": "crm"},
            {"when": "2030-03-17T17:39:00.000Z", "who": "operator", "what": "destination.pause", "target": "crm",
             "user": HOSTILE, "outcome": "failed: there is no destination 'x'"},
        ]  # fmt: skip

    # Answers ---------------------------------------------------------------------------------------------------

    def _destinations(self, request: web.Request) -> Any:
        limit, after = int(request.query.get("limit", 1000)), request.query.get("after", "")
        names = [one["name"] for one in self.destinations]
        start = names.index(after) + 1 if after else 0
        page = self.destinations[start : start + limit]
        more = len(self.destinations) > start + limit
        return {"destinations": page, "after": page[-1]["name"] if more else "", "total": len(self.destinations)}

    def _destination(self, request: web.Request) -> Any:
        found = next((one for one in self.destinations if one["name"] == request.match_info["name"]), None)
        return None if found is None else {**found, "config": self.settings()[1:3]}

    def _matching(self, request: web.Request) -> list[dict[str, Any]]:
        query = request.query.get("query", "")
        wanted = query.removeprefix("dest:") if query.startswith("dest:") else ""
        return [one for one in self.letters if not wanted or one["destination"] == wanted]

    def _count(self, letters: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "count": len(letters), "people": len({(one["destination"], one["person"]) for one in letters}),
            "destinations": len({one["destination"] for one in letters}),
            "oldest_ms": min((one["buried_ms"] for one in letters), default=0),
        }  # fmt: skip

    def _dead(self, request: web.Request) -> Any:
        after, limit = int(request.query.get("after") or 0), int(request.query.get("limit", 100))
        letters = [one for one in self._matching(request) if one["id"] > after]
        page = letters[:limit]
        return {"dead": page, "after": page[-1]["id"] if len(letters) > limit else 0}

    def _letter(self, request: web.Request) -> Any:
        found = next((one for one in self.letters if one["id"] == int(request.match_info["id"])), None)
        if found is None:
            return None
        shown = {"messageId": found["message_id"], "total": 12.50, "event": found["event"]}
        hidden = not self.payloads
        return {**found, "first_failed_ms": NOW_MS, "sample": "" if hidden else SAMPLE,
                "payload": None if hidden else shown, "original": None if hidden else shown}  # fmt: skip

    async def _export(self, request: web.Request) -> web.Response:
        return web.Response(text="".join(json.dumps(one) + "\n" for one in self._matching(request)))

    def _trace(self, request: web.Request) -> Any:
        standing = {
            "destination": "crm",
            "state": "held",
            "words": f"waits {HOSTILE}",
            "attempts": 4,
            "next_try_ms": NOW_MS + 12_000,
            "dead_id": 0,
            "sample": SAMPLE,
        }
        traced = {"event": event(1), "collected": "collected 3 s ago", "destinations": [standing]}
        return {"message_id": request.match_info["id"], "events": [traced], "refused": []}  # fmt: skip

    def _logs(self, request: web.Request) -> Any:
        after = int(request.query.get("after") or 0)
        lines = [one for one in self.log_lines if one["id"] > after]
        return {"logs": lines, "after": self.log_lines[-1]["id"]}

    async def _tail(self, request: web.Request) -> web.StreamResponse:
        point = request.query.get("point", "collected")
        reply = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await reply.prepare(request)
        await reply.write(b": watching\n\n")
        self.tail_open += 1
        try:
            for one in reversed(self.tail):
                more = {"destination": "crm", "state": "failed", "reason": "HTTP 503", "attempts": 2, "took_ms": 12.5,
                        "sample": SAMPLE} if point == "delivered" else {}  # fmt: skip
                await reply.write(f"event: {point}\ndata: {json.dumps({**more, **one})}\n\n".encode())
            await reply.write(b'event: sampled\ndata: {"one_in": 4, "events_left_out": 900}\n\n')
            while True:
                await asyncio.sleep(0.05)
                await reply.write(b": still here\n\n")
        finally:
            self.tail_open -= 1

    async def _act(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.acted.append(Acted(request.raw_path, body, request.headers.get("Idempotency-Key", "")))
        if self.changed_to:
            self.letters, self.changed_to = self.letters[: self.changed_to], 0
            return _refused(409, "changed", f"there are {len(self.letters)} dead letters now; nothing was done")
        if self.lost_answers:
            self.lost_answers -= 1
            assert request.transport is not None
            request.transport.close()
        done = {
            "done": True,
            "count": body.get("expect") or 0,
            "hastened": 23,
            "forgotten": 7,
            "changes": ["crm: url"],
            "write_key": "wk_new",
            "replay": "crm#2",
            "events_max": 5_000,
            "result": {"kind": "succeeded"},
        }
        return web.json_response(done)  # fmt: skip


def _json(answer: Any) -> Any:
    async def handler(request: web.Request) -> web.Response:
        found = answer(request)
        return _refused(404, "not_found", "there is no such thing") if found is None else web.json_response(found)

    return handler


def _refused(status: int, code: str, message: str) -> web.Response:
    return web.json_response({"error": {"code": code, "message": message, "next": "look again"}}, status=status)
