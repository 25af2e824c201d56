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

from api.languages.catalogue import Texts
from api.slack.errors import FileRefusedError, SlackBusyError, SlackUnavailableError
from api.slack.numbers import format_size

_TIMEOUT = httpx.Timeout(15.0, read=60.0)
# Maximum duration of a download. A longer download is interrupted and retried. After several attempts, the file is
# rejected.
_DOWNLOAD_SECONDS = 900.0
_BLOCK_BYTES = 1 << 18
_HTML = "text/html"
# Types of files that Slack does not offer for download.
_OWN_KINDS = frozenset({"canvas", "quip", "list", "post", "space", "huddle_transcript"})


@dataclass(frozen=True)
class RemoteFile:
    """A file in Slack, as described by `files.info`."""

    name: str
    media_type: str
    size: int
    url: str


def parse_remote_file(body: Mapping[str, Any], texts: Texts, *, max_bytes: int) -> RemoteFile:
    """Parse Slack's description of a file. Raises `FileRefusedError` if the file cannot be downloaded."""
    kinds = {str(body.get("mode") or ""), str(body.get("filetype") or "")}
    if "tombstone" in kinds or body.get("file_access") == "file_not_found":
        raise build_deleted_error(texts)
    if "hidden_by_limit" in kinds:
        raise _build_unavailable_error(
            texts.translate("Slack hides this file, because the workspace's plan keeps only newer files."), texts
        )
    if body.get("is_external") or "external" in kinds:
        raise _build_unavailable_error(
            texts.translate("This file is stored outside Slack, and Slack has only a link to it."), texts
        )
    if kinds & _OWN_KINDS:
        raise _build_unavailable_error(
            texts.translate(
                "Slack does not offer this kind of document as a file, for example canvases, lists and posts."
            ),
            texts,
        )
    if body.get("file_access") not in (None, "", "visible"):
        raise FileRefusedError(
            texts.translate("I may not see this file in Slack."),
            hint=texts.translate("Share it in a channel that I am a member of."),
        )
    url = str(body.get("url_private_download") or body.get("url_private") or "")
    if not url:
        raise _build_unavailable_error(texts.translate("Slack does not offer this file for download."), texts)
    size = int(body.get("size") or 0)
    if size > max_bytes:
        raise build_too_large_error(max_bytes, texts)
    name = str(body.get("name") or body.get("title") or "unnamed")
    return RemoteFile(name, str(body.get("mimetype") or ""), size, url)


def build_too_large_error(max_bytes: int, texts: Texts) -> FileRefusedError:
    """Build the error for a file that is larger than uploads may be."""
    limit = format_size(max_bytes, texts)
    return FileRefusedError(
        texts.translate("The file is larger than the limit of {limit}.", limit=limit),
        hint=texts.translate("Split it into smaller files, and share those."),
    )


def build_deleted_error(texts: Texts) -> FileRefusedError:
    """Build the error for a file that no longer exists in Slack."""
    return FileRefusedError(
        texts.translate("It was deleted in Slack."), hint=texts.translate("If you still need it, share it again.")
    )


def build_unreadable_error(texts: Texts) -> FileRefusedError:
    """Build the error for a file that the app's scopes do not let the bot read."""
    return FileRefusedError(
        texts.translate("Slack does not let me read this file."),
        hint=texts.translate(
            "Ask your administrator to run the command leadline slack check, which finds missing permissions."
        ),
    )


def _build_unavailable_error(detail: str, texts: Texts) -> FileRefusedError:
    return FileRefusedError(detail, hint=texts.translate("Download it, and share the downloaded file."))


def iter_file_blocks(
    file: RemoteFile, token: str, api_url: str, texts: Texts, *, should_continue: Callable[[], bool] = lambda: True
) -> Generator[bytes]:
    """Download a file, yielding its bytes as they arrive.

    Raises `SlackUnavailableError` once `should_continue` returns False.

    Raises `FileRefusedError` if the file cannot be downloaded, `SlackBusyError` if Slack is rate limiting, and
    `SlackUnavailableError` if a later attempt may succeed.
    """
    # guard: slack-token-to-slack-only
    if not is_slack_address(file.url, api_url):
        detail = texts.translate("The file is not on a server of Slack, so I do not download it.")
        raise _build_unavailable_error(detail, texts)
    started_at, size = time.monotonic(), 0
    try:
        with (
            httpx.Client(timeout=_TIMEOUT, follow_redirects=False) as http,
            http.stream(
                "GET", file.url, headers={"Authorization": f"Bearer {token}", "Accept-Encoding": "identity"}
            ) as response,
        ):
            _require_file_content(response, file, texts)
            for block in response.iter_bytes(_BLOCK_BYTES):
                size += len(block)
                if not should_continue():
                    raise SlackUnavailableError("The service is shutting down. Another process continues the download.")
                if time.monotonic() - started_at > _DOWNLOAD_SECONDS:
                    raise SlackUnavailableError("Slack sent a file too slowly.")
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


def _require_file_content(response: httpx.Response, file: RemoteFile, texts: Texts) -> None:
    """Raise the error that fits the response, unless it contains the file's content."""
    status = response.status_code
    if status == httpx.codes.TOO_MANY_REQUESTS:
        raise SlackBusyError(
            "Slack is rate limiting downloads.", _parse_retry_after(response.headers.get("Retry-After"))
        )
    if status >= httpx.codes.INTERNAL_SERVER_ERROR:
        raise SlackUnavailableError(f"Slack failed to send a file ({status}).")
    if status in (httpx.codes.NOT_FOUND, httpx.codes.GONE):
        raise build_deleted_error(texts)
    is_page = response.headers.get("Content-Type", "").startswith(_HTML) and not file.media_type.startswith(_HTML)
    if status != httpx.codes.OK or is_page:
        raise build_unreadable_error(texts)


def _parse_retry_after(header: str | None) -> float:
    try:
        return float(header or 1)
    except ValueError:
        return 1.0
