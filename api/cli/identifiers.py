"""Finds the full id of an object from the beginning of its id."""

import re
from collections.abc import Iterable
from itertools import islice

from api.client import Client, NotFoundError, RefusedError

_LEAST_CHARS = 4
_MOST_COMPARED = 5_000
_WHOLE = re.compile(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}|[0-9a-f]{32}")


def resolve_id(client: Client, prefix: str, *, path: str, member: str, noun: str, **params: str) -> str:
    """Return the id of the only object whose id begins with the prefix.

    Args:
        prefix: a whole id, or at least four characters of one.
        path: the route that lists the objects, newest first. At most 5,000 objects are compared.
        member: the member of the route's response that has the objects.
        noun: what the objects are called in errors, such as "run".
        **params: query parameters of the route.

    Raises `NotFoundError` if no id begins with the prefix, and `RefusedError` if it is too short or several ids do.
    """
    if _WHOLE.fullmatch(prefix):
        return prefix
    ids = [each["id"] for each in islice(client.listed(path, member, **params), _MOST_COMPARED)]
    return choose_id(prefix, ids, noun=noun if len(ids) < _MOST_COMPARED else f"{noun} among the newest {len(ids):,}")


def choose_id(prefix: str, ids: Iterable[str], *, noun: str) -> str:
    """Return the only one of the ids that begins with the prefix, or equals it. Raises the errors of `resolve_id`."""
    matching = []
    for each in ids:
        if each == prefix:
            return each
        if each.startswith(prefix):
            matching.append(each)
    if len(prefix) < _LEAST_CHARS and matching:
        raise RefusedError(f"{prefix!r} is too short for the id of a {noun}.", hint="Use at least four characters.")
    if not matching:
        raise NotFoundError(f"There is no {noun} whose id begins with {prefix!r}.", hint="")
    if len(matching) > 1:
        listed = ", ".join(matching[:5]) + (" …" if len(matching) > 5 else "")
        raise RefusedError(
            f"{prefix!r} is the beginning of {len(matching):,} ids: {listed}", hint="Use more characters."
        )
    return matching[0]
