"""Digests of files in memory, for tests without a catalog."""

from collections.abc import Collection, Mapping

from ingest.storage.digests import Digest, parse_file_name, parse_version_id


class DigestRecordsHere:
    """Digests as the catalog has them, and how often it was asked."""

    def __init__(self) -> None:
        self.digests: dict[str, dict[str, Digest]] = {}
        self.asked: list[list[str]] = []
        self.changed: list[str] = []

    def record(self, key: str, content: bytes) -> None:
        self.digests.setdefault(parse_version_id(key), {})[parse_file_name(key)] = Digest.from_content(content)

    def load_digests(self, version_ids: Collection[str]) -> Mapping[str, Mapping[str, Digest]]:
        self.asked.append(list(version_ids))
        return {version: dict(self.digests[version]) for version in version_ids if version in self.digests}

    def select_candidate_versions(self, file_name: str, version_ids: Collection[str]) -> set[str]:
        return set(version_ids)

    def record_changed_file(self, key: str) -> str | None:
        self.changed.append(key)
        return "the-document"
