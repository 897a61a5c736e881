"""The OpenAPI 3.1 document of the admin API, made from the table of routes and the structs they name."""

import inspect
import re
import sys
from functools import cache
from typing import Any

import msgspec

from appliance.control.replies import Failed
from appliance.control.routes import JSON, ROUTES, Parameter, Route, statuses_of
from appliance.deliver.plugin_docs import field_docs

PATH = "/openapi.json"
_REFERENCE = "#/components/schemas/{name}"
_PATH_WORDS = {
    "name": "name of a source or destination",
    "id": "id of a dead letter",
    "message_id": "messageId, as the client sent it",
    "person": "a person as other answers name it",
    "person_id": "a person's id, or one from before a merge",
}
_MEANINGS = {
    200: "done",
    400: "the request cannot be understood; nothing was done",
    401: "the token is missing or wrong",
    403: "the token's role or rights do not reach so far",
    404: "there is no such thing",
    408: "the body did not come in time",
    409: "nothing was done: another count than expected, a key used before, or not possible now",
    413: "the body is too large",
    421: "this Host is not served here",
    503: "not now; see the answer",
}


@cache
def document(version: str) -> bytes:
    """The document as JSON.

    Args:
        version: of the program.
    """
    kinds = _kinds()
    _, schemas = msgspec.json.schema_components(kinds, ref_template=_REFERENCE)
    for kind in kinds:
        _describe(kind, schemas)
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    info = {"title": "Sternpost admin API", "version": version, "summary": "What an operator sees and does."}
    security = {"token": {"type": "http", "scheme": "bearer", "description": "DATA/admin.token, or [control.tokens]"}}
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": info,
            "paths": paths,
            "components": {"schemas": schemas, "securitySchemes": security},
        }
    )


def operation_id(route: Route) -> str:
    """A name for programs, such as `post_dead_purge`."""
    words = re.findall(r"[a-z_]+", route.path.removeprefix("/v1"))
    return "_".join([route.method.lower(), *words])


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": operation_id(route),
        "summary": route.words,
        "description": rights(route),
        "security": [{"token": []}] if route.role is not None else [],
        "parameters": [*_path_parameters(route), *(_query_parameter(one) for one in route.query), *_headers(route)],
        "responses": {str(status): _response(route, status) for status in statuses_of(route)},
    }
    if route.takes is not None:
        content = {JSON: {"schema": _reference(route.takes)}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def rights(route: Route) -> str:
    """Who may call it, in words."""
    if route.role is None:
        return "Needs no token."
    words = f"Needs the role {route.role}."
    if route.payloads == "hidden":
        words += " Payloads and samples are left out without the right to see them."
    elif route.payloads == "required":
        words += " Needs the right to see payloads."
    if route.noted is not None:
        shown = "payloads are shown" if route.payloads != "none" else "it is shown"
        words += f" Where {shown}, the audit trail says `{route.noted.what}`."
    return words


def _path_parameters(route: Route) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": _PATH_WORDS[name],
            "schema": {"type": "integer", "minimum": 1, "maximum": (1 << 63) - 1}
            if name == "id"
            else {"type": "string", "minLength": 1},
        }
        for name in re.findall(r"\{(\w+)\}", route.path)
    ]


def _query_parameter(one: Parameter) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": one.kind}
    if one.kind == "integer":
        schema |= {"minimum": 0, "maximum": (1 << 63) - 1}
    if one.choices:
        schema["enum"] = list(one.choices)
    return {"name": one.name, "in": "query", "required": one.required, "description": one.words, "schema": schema}


def _headers(route: Route) -> list[dict[str, Any]]:
    if route.method != "POST" or route.is_look:
        return []
    words = "The same key with the same request again: the first answer again, nothing is done twice. Kept for 24 h."
    schema = {"type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[!-~]+$"}
    name = "Idempotency-Key"
    return [{"name": name, "in": "header", "required": route.guarded, "description": words, "schema": schema}]


def _response(route: Route, status: int) -> dict[str, Any]:
    response: dict[str, Any] = {"description": _MEANINGS[status]}
    if status == 200 or (status == 503 and route.role is None):
        schema = _reference(route.reply) if route.reply is not None else {"type": "string"}
        response["content"] = {kind: {"schema": schema} for kind in (route.content, *route.also)}
    else:
        response["content"] = {JSON: {"schema": _reference(Failed)}}
    if status == 200 and route.method == "POST" and not route.is_look:
        words = "true, where this is the answer to an earlier request with the same key"
        response["headers"] = {"Idempotency-Replayed": {"description": words, "schema": {"type": "string"}}}
    return response


def _kinds() -> list[type[msgspec.Struct]]:
    named = [kind for route in ROUTES for kind in (route.reply, route.takes) if kind is not None]
    return list(dict.fromkeys([*named, Failed]))


def _reference(kind: type[msgspec.Struct]) -> dict[str, str]:
    return {"$ref": _REFERENCE.format(name=kind.__name__)}


def _describe(kind: type[msgspec.Struct], schemas: dict[str, Any]) -> None:
    """Give the properties the words that stand under the fields of the struct, and of what it is made of."""
    for name in schemas:
        found = getattr(sys.modules[kind.__module__], name, None)
        if not isinstance(found, type):
            continue
        for each in found.__mro__:
            for field, words in _words(each).items():
                if field in schemas[name].get("properties", {}):
                    schemas[name]["properties"][field].setdefault("description", words)


@cache
def _words(kind: type) -> dict[str, str]:
    if not kind.__module__.startswith("appliance"):
        return {}
    return field_docs(inspect.getsource(sys.modules[kind.__module__]), kind.__name__)
