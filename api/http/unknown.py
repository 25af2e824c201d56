"""Rejects unknown names in requests. If misspelt names were ignored, a request could silently change its meaning."""

import difflib
from collections.abc import Iterable
from typing import Any, get_args, get_origin

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from api.http.middleware import CALLER

_NAME_CHARS = 100


def build_unknown_name_error(location: str, kind: str, name: str, known_names: Iterable[str]) -> RequestValidationError:
    """Return the error for an unknown name. `kind` is the kind of name, and `location` the part of the request."""
    listed, name = sorted(known_names), name[:_NAME_CHARS]
    near = difflib.get_close_matches(name.lower(), listed, 1)
    if near:
        rest = f"; did you mean {near[0]!r}?"
    else:
        rest = f"; known: {', '.join(listed)}" if listed else "; there are none here"
    return _build_error(location, name, f"unknown {kind} {name!r}{rest}")


def build_repeated_name_error(location: str, kind: str, name: str) -> RequestValidationError:
    """Return the error for a repeated name that may occur only once."""
    return _build_error(location, name[:_NAME_CHARS], f"the {kind} {name[:_NAME_CHARS]!r} appears more than once")


async def reject_unknown_parameters(request: Request) -> None:
    """Reject query parameters that the route does not declare, and repeated parameters that take a single value.

    Portal pages and routes of other protocols are exempt, because their clients add parameters of their own. Requests
    without a key are also exempt, because the route rejects them anyway. Raises `RequestValidationError`.
    """
    given = request.query_params
    route = request.scope.get("route")
    if not given or CALLER not in request.scope or not (isinstance(route, APIRoute) and _is_own_route(route)):
        return
    known = _collect_query_types(route.dependant)
    # guard: unknown-query-parameter
    for name in given:
        if name not in known:
            raise build_unknown_name_error("query", "query parameter", name, known)
    for name, annotation in known.items():
        if len(given.getlist(name)) > 1 and not _is_list_type(annotation):
            raise build_repeated_name_error("query", "query parameter", name)


def _is_own_route(route: APIRoute) -> bool:
    return route.path.startswith("/v1/") and "openai" not in route.tags


def _collect_query_types(dependant: Dependant) -> dict[str, Any]:
    """Return the types of the query parameters of a route and its dependencies, keyed by name."""
    found = {field.alias: field.field_info.annotation for field in dependant.query_params}
    for each in dependant.dependencies:
        found |= _collect_query_types(each)
    return found


def _is_list_type(annotation: Any) -> bool:  # noqa: ANN401 - any form of a type
    return any(get_origin(each) is list for each in (annotation, *get_args(annotation)))


def _build_error(location: str, name: str, problem: str) -> RequestValidationError:
    return RequestValidationError([{"type": "unknown_name", "loc": (location, name), "msg": problem}])
