"""A client of Slack's Web API whose errors tell whether the call was carried out, and whether and when to retry."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from api.slack.errors import SlackBusyError, SlackRefusedError, SlackUnavailableError
from ingest.storage.slack.records import Workspace

_TIMEOUT_SECONDS = 15
# Maximum delay after which this client retries a rate-limited call. If the delay is longer, the client raises an error,
# so that the work is requeued.
_LONGEST_WAIT_SECONDS = 5.0
_MAX_BUSY_TRIES = 3
# Slack's error codes for internal failures, after which the call may or may not have been carried out.
_SLACK_FAULTS = frozenset(
    {"internal_error", "fatal_error", "service_unavailable", "request_timeout", "team_added_to_org"}
)
# Name suffixes of read-only Web API methods.
_READ_METHOD_ENDINGS = frozenset({"info", "members", "replies", "history", "list", "conversations", "test"})
_PAGE_SIZE = 200
_MAX_PAGES = 10


class SlackWeb:
    """A Web API client for the bot of one workspace. Every method raises `SlackError` if the call fails."""

    def __init__(self, token: str, base_url: str) -> None:
        self.url = base_url
        self.token = token
        self._client = AsyncWebClient(
            token=token, base_url=base_url, timeout=_TIMEOUT_SECONDS, trust_env_in_session=True, retry_handlers=[]
        )

    async def call(self, method: str, **body: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
        """Call a method and return its response. A rate-limited call is retried after a short delay."""
        for attempt in range(1, _MAX_BUSY_TRIES + 1):
            try:
                return await self._call_once(method, body)
            except SlackBusyError as error:
                if error.seconds > _LONGEST_WAIT_SECONDS or attempt == _MAX_BUSY_TRIES:
                    raise
                await asyncio.sleep(error.seconds)
        raise AssertionError("the last attempt returns or raises")

    async def exchange_code(self, **form_fields: str) -> dict[str, Any]:
        """Exchange an OAuth code for a token. This call requires no token."""
        try:
            data = (await self._client.api_call("oauth.v2.access", data=form_fields)).data
        except SlackApiError as error:
            raise _translate_error("oauth.v2.access", error) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise SlackUnavailableError(f"Slack did not respond to oauth.v2.access: {type(error).__name__}.") from error
        return data if isinstance(data, dict) else {}

    async def fetch_identity(self) -> tuple[dict[str, Any], frozenset[str]]:
        """Return the identity of the token's bot, and the token's scopes."""
        response = await self._fetch_response("auth.test", {})
        scopes = response.headers.get("x-oauth-scopes", "")
        data = response.data
        return data if isinstance(data, dict) else {}, frozenset(each for each in scopes.split(",") if each)

    async def iter_pages(self, method: str, entries_field: str, **body: Any) -> AsyncIterator[Any]:  # noqa: ANN401 - JSON
        """Yield the entries in the field `entries_field` of all pages of a method's result.

        Raises `SlackRefusedError` if there are more than ten pages.
        """
        cursor = ""
        for _ in range(_MAX_PAGES):
            found = await self.call(method, limit=_PAGE_SIZE, **body, **({"cursor": cursor} if cursor else {}))
            for each in found.get(entries_field, ()):
                yield each
            cursor = (found.get("response_metadata") or {}).get("next_cursor") or ""
            if not cursor:
                return
        raise SlackRefusedError(method, "too_many_pages")

    async def _call_once(self, method: str, body: dict[str, Any]) -> dict[str, Any]:
        data = (await self._fetch_response(method, body)).data
        return data if isinstance(data, dict) else {}

    async def _fetch_response(self, method: str, body: dict[str, Any]) -> AsyncSlackResponse:
        try:
            # Read-only methods do not accept JSON: https://docs.slack.dev/apis/web-api/#post-bodies
            reads = method.rpartition(".")[2] in _READ_METHOD_ENDINGS
            if reads:
                return await self._client.api_call(method, params=body)
            return await self._client.api_call(method, json=body)
        except SlackApiError as error:
            raise _translate_error(method, error) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise SlackUnavailableError(f"Slack did not respond to {method}: {type(error).__name__}.") from error


def _translate_error(method: str, error: SlackApiError) -> Exception:
    response = error.response
    status = getattr(response, "status_code", 0)
    if status == 429:
        return SlackBusyError(f"Slack is rate limiting {method}.", float(response.headers.get("Retry-After", 1)))
    reason = str((response.data if isinstance(response.data, dict) else {}).get("error", ""))
    if status >= 500 or reason in _SLACK_FAULTS or not reason:
        return SlackUnavailableError(f"Slack failed to carry out {method} ({status} {reason}).")
    if reason in ("ratelimited", "rate_limited"):
        return SlackBusyError(f"Slack is rate limiting {method}.", float(response.headers.get("Retry-After", 1)))
    return SlackRefusedError(method, reason)


# A function that creates a Web API client for a workspace's bot.
OpenWeb = Callable[[Workspace], SlackWeb]
