"""Downloads files from Slack, sending the bot's token only to Slack's own hosts.

`files.info` describes a file (https://docs.slack.dev/reference/objects/file-object), including the
`url_private_download` of its content. If the bot has no access, Slack redirects to a sign-in page. The redirect is not
followed, so the page is not stored.
"""

import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

from api.slack.errors import FileRefusedError, SlackBusyError, SlackUnavailableError

_TIMEOUT = httpx.Timeout(15.0, read=60.0)
# Maximum duration of a download. A longer download is interrupted and retried. After several attempts, the file is
# rejected.
_DOWNLOAD_SECONDS = 900.0
_BLOCK_BYTES = 1 << 18
_HTML = "text/html"
_CHECK = "Ask whoever set the app up to run leadline slack check, which says what is missing."
_SHARE_ITSELF = "Download it, and share the file itself."
# Types of files that Slack does not offer for download.
_OWN_KINDS = {
    "canvas": "a canvas",
    "quip": "a canvas",
    "list": "a list",
    "post": "a post",
    "space": "a post",
    "huddle_transcript": "a huddle's notes",
}


@dataclass(frozen=True)
class RemoteFile:
    """A file in Slack, as described by `files.info`."""

    name: str
    media_type: str
    size: int
    url: str


def parse_remote_file(body: Mapping[str, Any], *, max_bytes: int) -> RemoteFile:
    """Parse Slack's description of a file. Raises `FileRefusedError` if the file cannot be downloaded."""
    kinds = {str(body.get("mode") or ""), str(body.get("filetype") or "")}
    if "tombstone" in kinds or body.get("file_access") == "file_not_found":
        raise FileRefusedError("It was deleted in Slack.", hint="Share it again if it is needed.")
    if "hidden_by_limit" in kinds:
        raise FileRefusedError("Slack hides it: the workspace's plan keeps only newer files.", hint=_SHARE_ITSELF)
    if body.get("is_external") or "external" in kinds:
        raise FileRefusedError("It is kept elsewhere, and Slack has only a link to it.", hint=_SHARE_ITSELF)
    if kind_name := next((_OWN_KINDS[kind] for kind in kinds if kind in _OWN_KINDS), None):
        raise FileRefusedError(f"It is {kind_name}, which Slack does not hand over as a file.", hint=_SHARE_ITSELF)
    if body.get("file_access") not in (None, "", "visible"):
        raise FileRefusedError("Slack does not let the bot see it.", hint="Share it in a channel that the bot is in.")
    url = str(body.get("url_private_download") or body.get("url_private") or "")
    if not url:
        raise FileRefusedError("Slack hands over no copy of it.", hint=_SHARE_ITSELF)
    size = int(body.get("size") or 0)
    if size > max_bytes:
        raise build_too_large_error(f"The file is larger than the limit of {max_bytes:,} bytes.")
    name = str(body.get("name") or body.get("title") or "unnamed")
    return RemoteFile(name, str(body.get("mimetype") or ""), size, url)


def build_too_large_error(detail: str) -> FileRefusedError:
    return FileRefusedError(detail, hint="Share it in smaller parts.")


def iter_file_blocks(
    file: RemoteFile, token: str, api_url: str, *, should_continue: Callable[[], bool] = lambda: True
) -> Generator[bytes]:
    """Download a file, yielding its bytes as they arrive.

    Raises `SlackUnavailableError` once `should_continue` returns False.

    Raises `FileRefusedError` if the file cannot be downloaded, `SlackBusyError` if Slack is rate limiting, and
    `SlackUnavailableError` if a later attempt may succeed.
    """
    # guard: slack-token-to-slack-only
    if not is_slack_address(file.url, api_url):
        raise FileRefusedError("Its address is none of Slack's, where the bot's token would go.", hint=_SHARE_ITSELF)
    started_at, size = time.monotonic(), 0
    try:
        with (
            httpx.Client(timeout=_TIMEOUT, follow_redirects=False) as http,
            http.stream(
                "GET", file.url, headers={"Authorization": f"Bearer {token}", "Accept-Encoding": "identity"}
            ) as response,
        ):
            _require_file_content(response, file)
            for block in response.iter_bytes(_BLOCK_BYTES):
                size += len(block)
                if not should_continue():
                    raise SlackUnavailableError("The service stops; another process goes on.")
                if time.monotonic() - started_at > _DOWNLOAD_SECONDS:
                    raise SlackUnavailableError("Slack sends a file too slowly.")
                yield block
    except httpx.HTTPError as error:
        raise SlackUnavailableError(f"Slack did not send a file: {type(error).__name__}.") from error
    if size < file.size:
        raise SlackUnavailableError(f"Slack sent {size:,} bytes of {file.size:,}.")


def is_slack_address(url: str, api_url: str) -> bool:
    """Return whether a URL is on the Web API's host, or uses TLS on Slack's file host."""
    try:
        target, api = urlsplit(url), urlsplit(api_url)
    except ValueError:
        return False
    is_api_host = (target.scheme, target.netloc) == (api.scheme, api.netloc)
    return is_api_host or (target.scheme == "https" and target.netloc == f"files.{api.hostname}")


def _require_file_content(response: httpx.Response, file: RemoteFile) -> None:
    """Raise the error that fits the response, unless it contains the file's content."""
    status = response.status_code
    if status == httpx.codes.TOO_MANY_REQUESTS:
        raise SlackBusyError("Slack sends no more files.", _parse_retry_after(response.headers.get("Retry-After")))
    if status >= httpx.codes.INTERNAL_SERVER_ERROR:
        raise SlackUnavailableError(f"Slack failed to send a file ({status}).")
    if status in (httpx.codes.NOT_FOUND, httpx.codes.GONE):
        raise FileRefusedError("It was deleted in Slack.", hint="Share it again if it is needed.")
    is_page = response.headers.get("Content-Type", "").startswith(_HTML) and not file.media_type.startswith(_HTML)
    if status != httpx.codes.OK or is_page:
        raise FileRefusedError("Slack does not let the bot read it.", hint=_CHECK)


def _parse_retry_after(header: str | None) -> float:
    try:
        return float(header or 1)
    except ValueError:
        return 1.0
