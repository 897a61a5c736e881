"""Reads requests: who asks, query parameters, bodies; and writes answers as JSON."""

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import msgspec
from aiohttp import web

from appliance.control import views
from appliance.control.actions import Who
from appliance.control.parts import ApiError, invalid
from appliance.control.query import Query, QueryError, parse
from appliance.control.tokens import Holder

BODY_TIMEOUT_S = 10.0
LIMIT_MAX = 1_000
NUMBER_MAX = (1 << 63) - 1
HOLDER = web.RequestKey("holder", Holder)
"""Who sent the token; set before any handler of a route that needs one."""


class Standing(NamedTuple):
    """Whether a token still has the rights that it had: a re-load may take them from one who is still reading."""

    holds: Callable[[], bool]


SHOWN = web.RequestKey("shown", int)
"""How many records an answer with payloads held, where it is a list; 0: there is none in it."""
ASKED = web.RequestKey("asked", str)
"""What a body asked for, in words for the audit trail, where neither path nor query string says it."""
STANDING = web.RequestKey("standing", Standing)
S = TypeVar("S", bound=msgspec.Struct)


def who(request: web.Request) -> Who:
    """Who acts, for the audit trail."""
    user = request.headers.get("X-Sternpost-User", "")
    shown = "".join(character for character in user if character.isprintable())[:64]
    return Who(request[HOLDER], shown, request.remote or "")


def still_holds(request: web.Request) -> bool:
    """Whether whoever asked would be let in now as well; for answers that take long."""
    return request[STANDING].holds()


def sees_payloads(request: web.Request) -> bool:
    """Whether the one who asks may see the content of events."""
    return request[HOLDER].payloads


def query(request: web.Request) -> Query:
    """The parameter `query`, as far as the one who asks may search."""
    return allowed_query(request, request.query.get("query", ""))


def allowed_query(request: web.Request, text: str) -> Query:
    """A filter. Whoever may not see payloads may not search in them either: every hit would tell something.

    Raises:
        ApiError: it cannot be read, or looks into payloads that the token may not see.
    """
    try:
        found = parse(text)
    except QueryError as error:
        raise invalid(str(error)) from None
    if found.searches_text and not sees_payloads(request):
        raise forbidden("a word without a key is looked for in payloads, and this token may not see them",
                        "use keys, such as reason:*refused*, or a token with `payloads = true`")  # fmt: skip
    return found


def forbidden(message: str, next_step: str) -> ApiError:
    """403: whoever asks may not."""
    return ApiError(403, "forbidden", message, next_step)


def number(request: web.Request, name: str, default: int, most: int) -> int:
    """A whole number of the query string, at most `most`."""
    text = request.query.get(name)
    return default if text is None else min(whole(text, name), most)


def limit(request: web.Request, default: int = 100) -> int:
    """How many at most, 1 to 1,000."""
    return max(1, number(request, "limit", default, LIMIT_MAX))


def whole(text: str, words: str) -> int:
    """A whole number that fits where numbers are kept.

    Raises:
        ApiError: it is none; `words` say of what.
    """
    if not text.isascii() or not text.isdigit() or len(text) > 19 or int(text) > NUMBER_MAX:
        raise invalid(f"{words} is a whole number, not {text[:40]!r}")
    return int(text)


async def read(request: web.Request) -> bytes:
    """The request's body.

    Raises:
        ApiError: it did not come in time.
    """
    try:
        return await asyncio.wait_for(request.read(), BODY_TIMEOUT_S)
    except TimeoutError:
        raise ApiError(408, "too_slow", f"the body did not come within {BODY_TIMEOUT_S:.0f} s") from None


async def body(request: web.Request, kind: type[S]) -> S:
    """The request's JSON body; an empty one counts as {}."""
    content = await read(request)
    try:
        return msgspec.json.decode(content or b"{}", type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise invalid(f"the body is not what this action takes: {error}") from None


def json_reply(value: Any, status: int = 200) -> web.Response:
    """A struct as the body."""
    return web.Response(body=views.wire(value), status=status, content_type="application/json")


def error_reply(status: int, code: str, message: str, next_step: str = "") -> web.Response:
    """An error as every route answers it."""
    error = {"code": code, "message": message}
    if next_step:
        error["next"] = next_step
    reply = json_reply({"error": error}, status)
    if status == 401:
        reply.headers["WWW-Authenticate"] = "Bearer"
    return reply
