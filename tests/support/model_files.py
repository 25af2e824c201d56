"""Small model files, and the wheels that carry their pieces."""

import hashlib
import random
import zipfile
from pathlib import Path

from retrieval.models.manifest import Address, HubAddress, ModelFile, PackageAddress, PackagePiece


def some_bytes(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


def model_file_of(content: bytes, *addresses: Address, name: str = "small.bin") -> ModelFile:
    return ModelFile(
        model="small",
        name=name,
        size_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        licence="Apache-2.0",
        publisher="nobody",
        addresses=addresses or (HubAddress("http://hub.invalid/small.bin"),),
    )


def build_wheel(folder: Path, project: str, member: str, content: bytes) -> Path:
    """A wheel of version 1.0 whose `member` is `content`."""
    stem = project.replace("-", "_")
    wheel = folder / f"{stem}-1.0-py3-none-any.whl"
    about = f"{stem}-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, content)
        archive.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {project}\nVersion: 1.0\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")
    return wheel


def build_pieces(folder: Path, *contents: bytes) -> PackageAddress:
    """A wheel for each piece, in `folder`, and the address that joins them."""
    pieces = []
    for number, content in enumerate(contents, start=1):
        member = f"piece{number}/data.bin"
        wheel = build_wheel(folder, f"leadline-test-piece{number}", member, content)
        pieces.append(
            PackagePiece(
                requirement=f"leadline-test-piece{number}==1.0",
                member=member,
                size_bytes=len(content),
                sha256=hashlib.sha256(content).hexdigest(),
                download_bytes=wheel.stat().st_size,
            )
        )
    return PackageAddress(tuple(pieces))
