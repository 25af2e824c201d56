"""The routes of the application, for tests that are generated from them."""

from collections.abc import Iterable, Iterator

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute


def api_routes(app: FastAPI) -> list[tuple[str, APIRoute]]:
    """Return each method of each route. Routers carry their whole paths, so an inclusion adds nothing to them."""
    return [(method, route) for route in _flat(app.routes) for method in sorted(route.methods or ())]


def _flat(routes: Iterable[BaseRoute]) -> Iterator[APIRoute]:
    for route in routes:
        if isinstance(route, APIRoute):
            yield route
        elif (router := getattr(route, "original_router", None)) is not None:
            yield from _flat(router.routes)
