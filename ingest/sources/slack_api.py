"""Calls Slack's Web API, and waits when Slack limits the rate."""

import time
from collections.abc import Callable, Iterator
from typing import Any

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError

from ingest.sources.errors import ItemGoneError, SourceRefusedError, SourceUnavailableError

_PAGE_SIZE = 200
_MAX_TRIES = 20
# Slack's limits are per minute, so it never asks for much more.
_MAX_WAIT_SECONDS = 300.0
# Slack's error codes for internal failures.
_FAULTS = frozenset({"internal_error", "fatal_error", "service_unavailable", "request_timeout", "team_added_to_org"})
_BUSY = frozenset({"ratelimited", "rate_limited"})
_GONE = frozenset({"thread_not_found", "message_not_found"})


class SlackApi:
    """Calls the methods of one workspace, with the token of an app."""

    def __init__(
        self, token: str, base_url: str, *, timeout_seconds: float, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        seconds = max(1, round(timeout_seconds))
        self._client = WebClient(token=token, base_url=base_url, timeout=seconds, retry_handlers=[])
        self._sleep = sleep

    def call(self, method: str, **arguments: str | int) -> dict[str, Any]:
        """Call a method that reads, and return its response.

        Raises `SourceUnavailableError`, `SourceRefusedError`, or `ItemGoneError` if a message no longer exists.
        """
        for _ in range(_MAX_TRIES):
            try:
                data = self._client.api_call(method, params=arguments).data
            except SlackApiError as error:
                self._sleep(_get_wait_seconds(method, error))
            except (SlackClientError, OSError, ValueError) as error:
                raise SourceUnavailableError(f"Slack did not respond to {method}: {error!r}.") from error
            else:
                return data if isinstance(data, dict) else {}
        raise SourceUnavailableError(f"Slack limited {method} {_MAX_TRIES} times in a row.")

    def iter_pages(self, method: str, entries_field: str, **arguments: str | int) -> Iterator[Any]:
        """Yield the entries in the field `entries_field` of all pages of a method's result."""
        cursor = ""
        while True:
            more = {"cursor": cursor} if cursor else {}
            found = self.call(method, **arguments, limit=_PAGE_SIZE, **more)
            yield from found.get(entries_field) or ()
            cursor, before = (found.get("response_metadata") or {}).get("next_cursor") or "", cursor
            if not cursor:
                return
            if cursor == before:
                raise SourceUnavailableError(f"Slack returned the same page of {method} twice.")


def _get_wait_seconds(method: str, error: SlackApiError) -> float:
    """Return the time after which a call may be repeated. Raises an error if repeating it is useless."""
    response = error.response
    status = getattr(response, "status_code", 0)
    data = getattr(response, "data", None)
    reason = str(data.get("error", "")) if isinstance(data, dict) else ""
    if status == 429 or reason in _BUSY:
        headers = {name.lower(): value for name, value in response.headers.items()}
        text = headers.get("retry-after", "1")
        seconds = float(text[0] if isinstance(text, list) else text)
        if seconds <= _MAX_WAIT_SECONDS:
            return seconds
        raise SourceUnavailableError(f"Slack limits {method} for {seconds:g} seconds.") from error
    if status >= 500 or reason in _FAULTS or not reason:
        raise SourceUnavailableError(f"Slack failed to carry out {method} ({status} {reason}).") from error
    if reason in _GONE:
        raise ItemGoneError from error
    raise SourceRefusedError(f"Slack rejected {method}: {reason}.", hint=_HINTS.get(reason)) from error


_HINTS = {
    "channel_not_found": "Check the id of the channel. Invite the app if the channel is private.",
    "not_in_channel": "Invite the app to the channel.",
    "missing_scope": "Add the scopes to the Slack app and install it again; docs/sources.md lists them.",
}
