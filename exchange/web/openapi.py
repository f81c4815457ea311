"""The OpenAPI 3.1 document, built from the table of routes and the types on the wire."""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final, Union, get_args, get_origin

import msgspec

from exchange import __version__
from exchange.core.verticals import Vertical
from exchange.core.words import with_article
from exchange.web.bulk_lines import CSV_TYPE, NDJSON_TYPE
from exchange.web.calls import DEFAULT_PAGE, MAX_PAGE
from exchange.web.problems import PROBLEM_TYPE
from exchange.web.routes import Route
from exchange.web.wire import Problem
from exchange.web.wire_returns import BulkLine

_REF: Final = "#/components/schemas/{name}"
_TAGS: Final = {
    "leads": "Pings, posts, the inbox and returns.",
    "returns": "Many returns at once, reviews, disputes and reversals.",
    "campaigns": "What companies want and at what price.",
    "suppressions": "Contacts companies do not want.",
    "standing": "Rates, verdicts and CRM resets.",
    "reports": "What days, weeks and months came to, as JSON or CSV.",
    "accounts": "Sellers, companies and deposits.",
    "alerts": "What is to be looked at, and who is told of it.",
    "exchange": "The exchange itself.",
}
STREAMED: Final = (CSV_TYPE, NDJSON_TYPE)
"""What a streamed answer may be besides JSON."""

_MONEY_IN: Final = {"type": ["number", "string"], "examples": [12.5, "12.50"]}
_NUMBER_OUT: Final = {"type": "number", "examples": [38.89]}
_DESCRIPTION: Final = (
    "A ping-post lead exchange. Money is in US dollars with at most two decimals, times are "
    "RFC 3339. A business outcome is a 200 with a status; a fault is an RFC 9457 problem with a "
    "code, and the field where there is one."
)


def build_document(routes: Sequence[Route], verticals: Mapping[str, Vertical]) -> bytes:
    """Build the document of these routes and verticals, as JSON."""
    schemas = _schemas(routes, verticals)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "Open lead exchange",
                "version": __version__,
                "description": _DESCRIPTION,
            },
            "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
            "paths": paths,
            "components": {
                "schemas": schemas,
                "securitySchemes": {
                    "key": {
                        "type": "http",
                        "scheme": "bearer",
                        "description": "The API key of a seller, a company or an operator.",
                    }
                },
            },
        }
    )


def _schemas(routes: Sequence[Route], verticals: Mapping[str, Vertical]) -> dict[str, Any]:
    bodies = [*(route.body for route in routes if route.body is not None), BulkLine]
    answers = [kind for route in routes for kind in _members(route.answer)]
    schemas: dict[str, Any] = {}
    for kinds, number in (([*answers, Problem], _NUMBER_OUT), (bodies, _MONEY_IN)):
        _, found = msgspec.json.schema_components(kinds, ref_template=_REF)
        # A struct of both sides keeps the shape of the body, which takes what the answer gives.
        schemas.update({name: _with_numbers(schema, number) for name, schema in found.items()})
    types_of = [vertical.attributes_type for vertical in verticals.values()]
    refs, found = msgspec.json.schema_components(types_of, ref_template=_REF)
    schemas.update(found)
    for vertical, attributes_type in zip(verticals.values(), types_of, strict=True):
        properties = found[attributes_type.__name__]["properties"]
        for name, spec in vertical.attributes.items():
            if spec.description:
                properties[name]["description"] = spec.description
        found[attributes_type.__name__]["description"] = f"Attributes of {vertical.title}."
    schemas["PingBody"]["properties"]["attributes"] = {
        "description": "The attributes of the ping's vertical.",
        "anyOf": list(refs) or [{"type": "object"}],
    }
    schemas["PingBody"]["properties"]["vertical"] = {"enum": sorted(verticals)}
    lines = schemas["BulkBody"]["properties"]["lines"]
    lines["items"] = {"$ref": _REF.format(name=BulkLine.__name__)}
    schemas["LeadAnswer"]["properties"]["attributes"] = {"type": "object"}
    for receipt in ("WholeReceipt", "FullReceipt"):
        schemas[receipt]["properties"]["attributes"] = {"type": "object"}
    schemas["AlertAnswer"]["properties"]["values"] = {"type": "object"}
    return dict(sorted(schemas.items()))


def _members(kind: Any) -> list[Any]:
    """The structs an answer's type is made of."""
    if get_origin(kind) in (Union, types.UnionType):
        return list(get_args(kind))
    return [kind] if isinstance(kind, type) and issubclass(kind, msgspec.Struct) else []


def _with_numbers(schema: Any, number: dict[str, Any]) -> Any:
    """Say of decimals what they are here: numbers."""
    if isinstance(schema, list):
        return [_with_numbers(part, number) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("format") == "decimal":
        rest = {key: value for key, value in schema.items() if key not in ("type", "format")}
        return {**rest, **number}
    return {key: _with_numbers(part, number) for key, part in schema.items()}


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": getattr(route.handler, "__name__", route.label),
        "summary": route.summary,
        "description": _describe(route),
        "tags": [route.tag],
        "responses": _responses(route),
    }
    if parameters := _parameters(route):
        operation["parameters"] = parameters
    if route.roles:
        operation["security"] = [{"key": []}]
    if route.body is not None:
        schema = {"$ref": _REF.format(name=route.body.__name__)}
        content: dict[str, Any] = {"application/json": {"schema": schema}}
        if route.forms:
            # Forms are flat, with names such as attributes[zip]; their shape is the JSON body's.
            content["application/x-www-form-urlencoded"] = {"schema": {"type": "object"}}
        if route.bulk:
            content["text/csv"] = {"schema": {"type": "string"}}
        operation["requestBody"] = {"required": True, "content": content}
    if route.streamed:
        text = {"schema": {"type": "string"}}
        content = dict.fromkeys(route.streamed, text)
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _describe(route: Route) -> str:
    """Who may make a call, and how it is made and answered."""
    who = [with_article(role) for role in sorted(route.roles)]
    told = (
        [f"For {', '.join(who[:-1])}{' or ' if who[:-1] else ''}{who[-1]}."]
        if who
        else ["For anybody, without a key."]
    )
    if route.roles >= {"company", "operator"} and "{company_id}" in route.path:
        told.append("A company makes it for itself, an operator for any.")
    if route.forms:
        told.append("The body may be a form.")
    if route.bulk:
        told.append("Lines may be sent, and their results had, as CSV; each line is on its own.")
    if route.streamed:
        told.append("The body has a contact a line, and is read as it comes.")
    if route.keyed:
        told.append("Safe to repeat under one Idempotency-Key.")
    if route.listed:
        told.append(
            f"At most `limit` items ({DEFAULT_PAGE}); `next` given as `after` has those behind "
            "them, and is null at the end."
        )
    if route.csv:
        told.append("As CSV where the Accept header asks for text/csv.")
    return " ".join(told)


def _parameters(route: Route) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {
            "name": segment[1:-1],
            "in": "path",
            "required": True,
            "schema": {"type": "string", "pattern": "^[0-9A-Za-z_-]{1,64}$"},
        }
        for segment in route.path.split("/")
        if segment.startswith("{")
    ]
    if route.listed:
        limit = {"type": "integer", "minimum": 1, "maximum": MAX_PAGE, "default": DEFAULT_PAGE}
        after = {"type": "string", "maxLength": 64, "pattern": "^([0-9A-Za-z]+-[0-9A-Za-z_-]+)?$"}
        found.append({"name": "after", "in": "query", "required": False, "schema": after})
        found.append({"name": "limit", "in": "query", "required": False, "schema": limit})
    found.extend(
        {
            "name": asked.name,
            "in": "query",
            "required": False,
            "description": asked.meaning,
            "schema": asked.shape,
        }
        for asked in route.asked
    )
    if route.keyed:
        key = {"type": "string", "pattern": "^[!-~]{1,200}$"}
        found.append({"name": "Idempotency-Key", "in": "header", "required": False, "schema": key})
    return found


def _responses(route: Route) -> dict[str, Any]:
    given: dict[str, Any] = {"description": HTTPStatus(route.status).phrase}
    if route.text is not None:
        given["content"] = {route.text: {"schema": {"type": "string"}}}
    elif members := _members(route.answer):
        refs = [{"$ref": _REF.format(name=kind.__name__)} for kind in members]
        schema = refs[0] if len(refs) == 1 else {"anyOf": refs}
        given["content"] = {"application/json": {"schema": schema}}
        if route.bulk:
            given["content"] |= {kind: {"schema": {"type": "string"}} for kind in STREAMED}
        elif route.csv:
            given["content"]["text/csv"] = {"schema": {"type": "string"}}
    elif route.answer is not None:
        given["content"] = {"application/json": {"schema": {"type": "object"}}}
    responses = {str(route.status): given}
    for status in sorted(fault_statuses(route)):
        problem = {PROBLEM_TYPE: {"schema": {"$ref": _REF.format(name="Problem")}}}
        if route.path == "/readyz":
            problem = {"application/json": {"schema": {"$ref": _REF.format(name="Health")}}}
        responses[str(status)] = {
            "description": HTTPStatus(status).phrase,
            "content": problem,
            **_headers(status),
        }
    return responses


def fault_statuses(route: Route) -> set[int]:
    """The statuses of the faults a call may answer with."""
    statuses = set(route.faults)
    if route.roles:
        # 422: a parameter that is not known, whatever the call.
        statuses |= {401, 403, 422, 503}
    if route.body is not None:
        statuses |= {400, 408, 413, 415, 422}
    if route.streamed:
        statuses |= {400, 408, 413, 415}
    return statuses


def _headers(status: int) -> dict[str, Any]:
    name = {401: "WWW-Authenticate", 503: "Retry-After"}.get(status)
    return {"headers": {name: {"schema": {"type": "string"}}}} if name is not None else {}
