"""Known security advisories of vLLM's releases, from a file that ships with its date and sources.

`vllm_advisories.json` is made of OSV's records by `python vllm_advisories.py RECORDS FILE`, where RECORDS is a folder
of them, such as the unpacked `PyPI/all.zip` of OSV's export. This module imports the standard library alone, because
`deploy/vllm/start.py` runs it where only vLLM is installed.
"""

import json
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_FILE = Path(__file__).with_name("vllm_advisories.json")
_PACKAGE = "vllm"
_RELEASE = re.compile(r"\d+(?:\.\d+)*")
_SUMMARY_LETTERS = 160


@dataclass(frozen=True)
class Advisory:
    """One advisory: releases from `introduced` up to, and without, `fixed` are affected; None if none is fixed yet."""

    id: str
    aliases: tuple[str, ...]
    summary: str
    introduced: str
    fixed: str | None
    source: str

    def affects(self, version: str) -> bool:
        """True if this release has the fault. Builds and post-releases count as the release they are made of."""
        release = _numbers(version)
        return _numbers(self.introduced) <= release and (self.fixed is None or release < _numbers(self.fixed))

    def sentence(self) -> str:
        """Name the advisory, its subject, and the release that mends it."""
        names = ", ".join((self.id, *self.aliases))
        return f"{names}: {self.summary} ({f'fixed in {self.fixed}' if self.fixed else 'not fixed yet'})"


@dataclass(frozen=True)
class Advisories:
    """All that are known, as of the day `read_on`."""

    read_on: str
    known: tuple[Advisory, ...]


def advisories() -> Advisories:
    """Read the file that ships."""
    read = json.loads(_FILE.read_text("utf-8"))
    known = tuple(Advisory(**{**entry, "aliases": tuple(entry["aliases"])}) for entry in read["advisories"])
    return Advisories(read["read_on"], known)


def advisories_of(version: str) -> list[Advisory]:
    """Return those that affect a release; of one whose name is no release, none can be told."""
    return [each for each in advisories().known if _numbers(version) and each.affects(version)]


def fixed_release(found: Sequence[Advisory]) -> str | None:
    """Return the first release without any of these; None if one of them is not fixed yet."""
    fixes = [each.fixed for each in found]
    return None if None in fixes else max((fix for fix in fixes if fix is not None), key=_numbers, default=None)


def _numbers(version: str) -> tuple[int, ...]:
    found = _RELEASE.match(version.strip().removeprefix("v"))
    numbers = [int(part) for part in found.group().split(".")] if found else []
    while numbers and numbers[-1] == 0 and len(numbers) > 1:
        numbers.pop()
    return tuple(numbers)


def of_osv(records: Iterator[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return our entries for the records of OSV that are about vLLM and were not withdrawn; one for each range."""
    entries = []
    for record in records:
        ranges = [
            each
            for affected in record.get("affected", ())
            if affected.get("package", {}).get("name") == _PACKAGE
            for each in affected.get("ranges", ())
            if each.get("type") == "ECOSYSTEM"
        ]
        for each in [] if record.get("withdrawn") else ranges:
            events = {name: version for event in each["events"] for name, version in event.items()}
            summary = str(record.get("summary") or record.get("details") or "").strip().replace("\n", " ")
            entries.append(
                {
                    "id": record["id"],
                    "aliases": record.get("aliases", []),
                    "summary": summary[:_SUMMARY_LETTERS],
                    "introduced": events.get("introduced", "0"),
                    "fixed": events.get("fixed"),
                    "source": f"https://osv.dev/vulnerability/{record['id']}",
                }
            )
    return sorted(entries, key=lambda entry: str(entry["id"]))


def main() -> None:
    """Write the file anew from a folder of OSV's records."""
    folder, file = Path(sys.argv[1]), Path(sys.argv[2])
    records = (json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json")))
    made = {"read_on": datetime.now(UTC).date().isoformat(), "advisories": of_osv(records)}
    file.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
