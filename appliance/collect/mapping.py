"""What is no event in itself becomes one: pixels by their query, webhooks whatever they carry. Pure.

Source: contract/http.md, Routes.
"""

import base64
import uuid
from collections.abc import Iterable
from email import message_from_string
from email.message import Message
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from appliance.collect import parse, repair

WEBHOOK_EVENT = "webhook_source_event"
"""The name RudderStack gives to what a webhook brings."""
FIELDS_MAX = 1_000
PATH_LEVELS_MAX = 16
_ENCODE = msgspec.json.Encoder().encode


class NoShape(ValueError):
    """It cannot be read as what its Content-Type says."""


def pixel(query: str, type: str) -> bytes:
    """The event of a pixel: `properties.sku=A` stands in an object `properties`; all values are text.

    Raises:
        NoShape: too many fields.
    """
    event: dict[str, Any] = {"type": type, "channel": "web"}
    if type == "page":
        event["name"] = "Unknown Page"
    for path, value in _pairs(query):
        if path not in ("writeKey", "type"):
            _place(event, path.split("."), value)
    return _ENCODE(event)


def webhook(method: str, query: str, content_type: str, body: bytes) -> bytes:
    """One track event of whatever a webhook carries; JSON keeps its bytes.

    Args:
        query: becomes the properties of a GET.
        content_type: the header as sent.

    Raises:
        NoShape: it is not what `content_type` says.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if method == "GET":
        properties = _ENCODE(_fields((name, value) for name, value in _pairs(query) if name != "writeKey"))
    elif kind == "application/x-www-form-urlencoded" and body.lstrip()[:1] not in (b"{", b"["):
        try:
            properties = _ENCODE(_fields(_pairs(body.decode())))
        except UnicodeDecodeError:
            raise NoShape("the form is no UTF-8") from None
    elif kind == "multipart/form-data":
        properties = _ENCODE(_fields(_parts(content_type, body)))
    else:
        properties = _json(body)
    head = _ENCODE({"type": "track", "event": WEBHOOK_EVENT, "anonymousId": str(uuid.uuid4())})
    return b'%s,"properties":%s}' % (head[:-1], properties)


def _json(body: bytes) -> bytes:
    text = body.strip(b" \t\r\n")
    if not parse.is_strict(text):
        text = repair.repaired(text)
        if not parse.is_strict(text):
            raise NoShape("it is no JSON")
    return text if text[:1] == b"{" else b'{"payload":%s}' % text


def _pairs(text: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(text, keep_blank_values=True, max_num_fields=FIELDS_MAX)
    except ValueError as error:
        raise NoShape(str(error)) from None


def _fields(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Fields by name; one that comes again becomes a list."""
    fields: dict[str, list[Any]] = {}
    for name, value in pairs:
        fields.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in fields.items()}


def _place(event: dict[str, Any], path: list[str], value: str) -> None:
    """Put a value at a dotted path; where a plain value stands in the way, or the path is too long, it stays a name."""
    if len(path) > PATH_LEVELS_MAX or "" in path:
        event[".".join(path)] = value
        return
    at = event
    for name in path[:-1]:
        inner = at.setdefault(name, {})
        if not isinstance(inner, dict):
            event[".".join(path)] = value
            return
        at = inner
    at[path[-1]] = value


def _parts(content_type: str, body: bytes) -> Iterable[tuple[str, Any]]:
    """The fields of a multipart form: text as text, a file with its name, type and content in base64."""
    boundary = _header(f"Content-Type: {content_type}").get_boundary()
    if not boundary:
        raise NoShape("multipart without a boundary")
    sections = (b"\r\n" + body).split(b"\r\n--" + boundary.encode("utf-8", "surrogateescape"), FIELDS_MAX + 2)
    if len(sections) < 2 or not sections[-1].startswith(b"--"):
        raise NoShape("multipart that is cut off, or has too many parts")
    for section in sections[1:-1]:
        head, blank, content = section.partition(b"\r\n\r\n")
        header = _header(head.lstrip(b" \t\r\n").decode(errors="replace"))
        name = header.get_param("name", header="Content-Disposition")
        if not blank or not isinstance(name, str):
            raise NoShape("a part without a name")
        filename = header.get_filename()
        yield _plain(name), content.decode(errors="replace") if filename is None else {
            "filename": _plain(filename), "contentType": header.get_content_type(),
            "content": base64.b64encode(content).decode(),
        }  # fmt: skip


def _header(head: str) -> Message:
    """A part's head; browsers write names in plain UTF-8."""
    return message_from_string(head + "\r\n\r\n")


def _plain(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
