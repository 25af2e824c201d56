"""Cards in a dictionary, and which of them were loaded."""

from collections.abc import Collection, Mapping

from ingest.storage.documents.cards.records import CardDraft, StoredCard


class MemoryCards:
    def __init__(self) -> None:
        self.drafts: dict[str, CardDraft] = {}
        self.written: dict[str, str] = {}
        self.loaded: list[str] = []

    def load_cards(self, version_ids: Collection[str], maker: str) -> Mapping[str, StoredCard]:
        self.loaded += version_ids
        found = {each: self.drafts[each] for each in version_ids if each in self.drafts}
        return {
            each: StoredCard(draft.language, draft.terms, self.written.get(each, ""))
            for each, draft in found.items()
            if draft.maker == maker
        }
