"""A source whose faults are written down beforehand, for tests of whoever fetches."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from retrieval.errors import ModelSourceError
from retrieval.models.manifest import Address, HubAddress, ModelFile
from retrieval.models.sources import ByteReporter


@dataclass
class FakeSource:
    """Delivers `contents[file.name]` from memory.

    `stop_after_bytes` ends the next delivery early, once, by raising `stop_with`; what came before it is kept.
    `delivered` lists each delivery as (file name, bytes that were there at its start).
    """

    contents: Mapping[str, bytes]
    name: str = "fake"
    kind: type[Address] = HubAddress
    scratch: int = 0
    stop_after_bytes: int | None = None
    stop_with: Callable[[], BaseException] | None = None
    delivered: list[tuple[str, int]] = field(default_factory=list)

    def can_fetch_address(self, address: Address) -> bool:
        return isinstance(address, self.kind)

    def get_scratch_size(self, address: Address) -> int:
        return self.scratch

    def fetch_file(self, file: ModelFile, address: Address, part_path: Path, report_bytes: ByteReporter) -> None:
        content = self.contents.get(file.name)
        if content is None:
            raise ModelSourceError(file.name, [(self.name, "has no such file")])
        have = part_path.stat().st_size if part_path.exists() else 0
        self.delivered.append((file.name, have))
        stop, self.stop_after_bytes = self.stop_after_bytes, None
        with part_path.open("ab") as opened:
            opened.write(content[have:stop])
            report_bytes(opened.tell())
        if stop is not None:
            fault = self.stop_with or (lambda: ModelSourceError(file.name, [(self.name, "was cut off")]))
            raise fault()
