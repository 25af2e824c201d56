"""Every method of the client asks a route that the service has, and reads what that route says that it answers."""

import inspect
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args, get_origin

import pytest

from api.client.calls import Call, CallSequence, FollowCall, ModelReader, PagedCall, StreamCall, _ClientMethod
from api.client.operations import Operations
from tests.support.asking import asked_api

METHODS = {name: method for name, method in vars(Operations).items() if isinstance(method, _ClientMethod)}
BY_PATH = {"get", "post", "patch", "delete", "listed", "events", "follow"}
_VALUES: dict[Any, Any] = {str: "x", int: 1, Mapping[str, Any]: {}}


def value_of(annotation: Any) -> Any:  # noqa: ANN401 - of many types
    return get_args(annotation)[0] if get_origin(annotation) is Literal else _VALUES.get(annotation, b"x")


def call_of(name: str) -> Call[Any]:
    """The request of a method whose required arguments are any of their type."""
    make = METHODS[name].make
    parameters = inspect.signature(make, eval_str=True).parameters.values()
    required = [each for each in parameters if each.default is inspect.Parameter.empty]
    named = [each for each in required[1:] if each.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    by_name = {each.name: value_of(each.annotation) for each in required if each.kind is each.KEYWORD_ONLY}
    made = make(None, *(value_of(each.annotation) for each in named), **by_name)
    match made:
        case Call():
            return made
        case FollowCall(path, _):
            return Call("GET", path, print)
        case PagedCall(call, members):
            assert isinstance(call.read, ModelReader)
            assert {members, "next_cursor"} <= call.read.schema.model_fields.keys()
            return call
        case StreamCall(call, _):
            return call
        case CallSequence(begin):
            return next(begin())
    raise AssertionError(made)


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    with asked_api(tmp_path_factory.mktemp("home")) as api:
        yield api.http.get("/openapi.json").json()["paths"]


@pytest.mark.parametrize("name", sorted(METHODS.keys() - BY_PATH))
def test_a_method_asks_a_route_and_reads_its_reply(name: str, paths: dict[str, Any]) -> None:
    call = call_of(name)
    matching = [each for each in paths if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", each), call.path)]
    (route,) = {call.path} & {*matching} or matching
    described = paths[route][call.method.lower()]
    known = {each["name"] for each in described.get("parameters", ())}
    assert call.params.keys() <= known
    if isinstance(call.read, ModelReader):
        replies = [
            described["responses"][status] for status in ("200", "201", "202") if status in described["responses"]
        ]
        schemas = [reply["content"]["application/json"]["schema"] for reply in replies if "content" in reply]
        assert f'#/components/schemas/{call.read.schema.__name__}"' in json.dumps(schemas)


def test_both_clients_have_every_method_and_write_none_of_them_again() -> None:
    from api.client import AsyncClient, Client

    for kind in (Client, AsyncClient):
        assert not METHODS.keys() & vars(kind).keys()
        assert issubclass(kind, Operations)
