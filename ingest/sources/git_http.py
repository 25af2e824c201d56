"""Speaks Git's smart HTTP protocol with dulwich, over requests to checked addresses."""

import base64
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urljoin, urlsplit

from dulwich.client import AbstractHttpGitClient
from dulwich.errors import GitProtocolError
from dulwich.object_store import ObjectStoreGraphWalker
from dulwich.objects import ObjectID, valid_hexsha

from ingest.sources.checked_http import CheckedHttp, Reply
from ingest.sources.errors import ItemRefusedError, SourceRefusedError, SourceUnavailableError

# Maximum size of a pack, in which objects are compressed.
MAX_PACK_BYTES = 2 * 1024**3
# Maximum size of the list of branches, which has room for 200,000 of them.
_MAX_REFS_BYTES = 16 * 1024**2
_MAX_REDIRECTS = 5
_SHOWN_BRANCHES = 20
_ADVERTISEMENT = "application/x-git-upload-pack-advertisement"
_REFS = "info/refs?service=git-upload-pack"
_HEAD = b"HEAD"
_BRANCHES = b"refs/heads/"
# dulwich checks with these what a server sends.
_PROTOCOL_ERRORS = (GitProtocolError, ValueError, TypeError, LookupError, AssertionError, OverflowError)


@dataclass(frozen=True)
class Head:
    """The last commit of a branch. It is empty if the repository has no commits."""

    branch: str
    commit: str = ""


@dataclass
class _Response:
    """The part of a response that dulwich uses."""

    content_type: str
    redirect_location: str

    def close(self) -> None:
        """Do nothing: the response was received whole."""


class GitRemote(AbstractHttpGitClient):
    """A repository on a server.

    dulwich reads proxies, other addresses and credentials from configuration files in functions that are not used here.
    """

    def __init__(self, url: str, http: CheckedHttp, scratch: Path, *, username: str = "", password: str = "") -> None:
        super().__init__(url, thin_packs=False)
        self._url = url
        self._http = http
        self._body = scratch / "response"
        self._opened: BinaryIO | None = None
        self._authorization = {}
        if username or password:
            # Servers that accept any name with a token do not accept an empty one.
            credentials = f"{username or 'git'}:{password}".encode()
            self._authorization["Authorization"] = f"Basic {base64.b64encode(credentials).decode()}"

    def find_head(self, branch: str) -> Head:
        """Find a branch, or the main branch if the name is empty.

        Raises `SourceRefusedError` if there is no such branch, and `SourceUnavailableError`.
        """
        with self._translate_errors():
            found = self.get_refs("", ref_prefix=[_HEAD, _BRANCHES])
        refs: dict[bytes, bytes | None] = {bytes(name): commit for name, commit in found.refs.items()}
        main = {bytes(name): bytes(target) for name, target in found.symrefs.items()}.get(_HEAD, b"")
        wanted = _BRANCHES + branch.encode() if branch else main or _HEAD
        name = wanted.removeprefix(_BRANCHES).decode("utf-8", "replace")
        commit = refs.get(wanted)
        if commit is not None:
            if not valid_hexsha(commit):
                raise SourceUnavailableError(f"{self._url} names {commit[:100]!r} as a commit, which it is not.")
            return Head(name, commit.decode())
        # Only an unborn branch is a server's word that there are no commits. Branches may also be hidden from a user.
        # guard: source-git-really-empty
        if _HEAD in refs and wanted == main and not any(refs.values()):
            return Head(name)
        names = sorted(each.removeprefix(_BRANCHES).decode("utf-8", "replace") for each in refs if each != _HEAD)
        shown = ", ".join(names[:_SHOWN_BRANCHES]) + (" …" if len(names) > _SHOWN_BRANCHES else "")
        raise SourceRefusedError(
            f"{self._url} has no branch {branch}." if branch else f"{self._url} has no main branch.",
            hint=f"Its branches are: {shown}." if names else "The server shows no branches. Check the credentials.",
        )

    def fetch_commit(self, head: Head, pack: Path, max_blob_bytes: int) -> str:
        """Save a pack of the objects of one commit, without its history. Return the name of the hash of object ids.

        A server that can leave out larger files does so. Raises `SourceRefusedError` and `SourceUnavailableError`.
        """

        def want_commit(refs: Mapping[Any, Any], depth: int | None = None) -> list[ObjectID]:
            return [ObjectID(head.commit.encode())]

        prefixes = [_HEAD, _BRANCHES + head.branch.encode()]
        nothing_known = ObjectStoreGraphWalker([], lambda _: [])
        limit = b"blob:limit=%d" % (max_blob_bytes + 1)
        with self._translate_errors(), pack.open("wb") as file:
            result = self.fetch_pack(
                "", want_commit, nothing_known, file.write, depth=1, ref_prefix=prefixes, filter_spec=limit
            )
            self._body.unlink(missing_ok=True)
            return result.object_format or "sha1"

    def _http_request(
        self,
        url: str,
        headers: dict[str, str] | None = None,
        data: bytes | Iterator[bytes] | None = None,
        raise_for_status: bool = True,
    ) -> tuple[Any, Any]:
        """Send a request for dulwich, and receive the response whole."""
        # A server may also name other addresses, for packs. Nothing is read from these.
        if data is None and not url.endswith(_REFS):
            raise SourceRefusedError(f"{self._url} refers to {url}, which is not part of the repository.")
        content = data if data is None or isinstance(data, bytes) else b"".join(data)
        max_bytes = MAX_PACK_BYTES if content is not None and b"command=ls-refs" not in content else _MAX_REFS_BYTES
        final_url, media_type = self._receive(url, headers or {}, content, max_bytes)
        if content is None and media_type != _ADVERTISEMENT:
            raise SourceRefusedError(
                f"{self._url} is not the address of a Git repository.", hint="Enter the address that `git clone` uses."
            )
        self._opened = self._body.open("rb")
        return _Response(media_type, final_url if final_url != url else ""), self._opened.read

    def _receive(self, url: str, headers: Mapping[str, str], content: bytes | None, max_bytes: int) -> tuple[str, str]:
        """Receive a response, after redirects. Return its address and media type."""
        self.close()
        for _ in range(_MAX_REDIRECTS + 1):
            # guard: source-git-credentials
            credentials = self._authorization if urlsplit(url)[:2] == urlsplit(self._url)[:2] else {}
            with self._http.open(url, {**headers, **credentials}, content) as reply:
                location = reply.headers.get("location", "")
                # Git, too, follows redirects only of the first request, to which the others then go.
                if not (content is None and 300 <= reply.status < 400 and location):
                    self._check_status(reply)
                    try:
                        reply.save(self._body, max_bytes)
                    except ItemRefusedError as error:
                        raise SourceRefusedError(
                            f"{self._url} is too large: {error.detail}", hint="Split the repository."
                        ) from error
                    return url, reply.media_type
            url = urljoin(url, location)
        raise SourceRefusedError(f"{self._url} was not reached after {_MAX_REDIRECTS} redirects.")

    def _check_status(self, reply: Reply) -> None:
        answer = f"{self._url} answered with the status {reply.status}"
        if reply.status in (401, 403):
            told = "does not accept the credentials" if self._authorization else "asks for credentials"
            raise SourceRefusedError(f"{answer}: it {told}.", hint="Check the user name, the token and its rights.")
        if reply.status in (404, 410):
            raise SourceRefusedError(
                f"{answer}: there is no such repository.",
                hint="Check the address. Many servers answer like this for private repositories without credentials.",
            )
        if reply.status != 200:
            raise SourceUnavailableError(f"{answer}.")

    def close(self) -> None:
        """Close the last response."""
        if self._opened is not None:
            self._opened.close()

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            yield
        except _PROTOCOL_ERRORS as error:
            raise SourceUnavailableError(f"{self._url} did not answer as a Git server: {error!r}.") from error

    @staticmethod
    def _warn_filter_objects() -> None:
        """Log nothing: servers need not be able to leave out large files."""
