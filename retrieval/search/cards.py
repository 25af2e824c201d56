"""Document cards in searches: the terms that tell documents apart, and how well each document matches a query.

A card has two fields: the start of the document's text, weighted when the document is ingested, and the title, the file
name and what people and models wrote on the card, read from the catalog by each search, because they can change.
"""

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ingest.storage.documents.cards.records import RULES_RELEASE, CardDraft, CardFields, StoredCard
from ingest.storage.documents.rows import VisibleVersion
from retrieval.index.bm25 import SparseEncoder
from retrieval.index.languages import Language, detect_language_code, get_language

# The part of a document's text that belongs to its card, in words. Measured on filings: 100 to 300 words are equally
# good, and with 500 words the right filing is first less often. The limit in characters is for scripts without spaces.
_COVER_WORDS = 200
COVER_CHARS = 2_000
# Change this number when the rules in this module change. Cards are then made again in the background.
_RELEASE = 1
# A card has up to 400 terms and takes up to 4 KB, so all of them take up to 20 MB.
_MAX_CACHED_CARDS = 5_000

TermIds = npt.NDArray[np.uint32]
Frequencies = npt.NDArray[np.float32]


class CardSource(Protocol):
    """The stored cards of versions that `maker` made, keyed by version id. Versions without one are omitted."""

    def load_cards(self, version_ids: Collection[str], maker: str) -> Mapping[str, StoredCard]: ...


def get_card_maker(encoder: SparseEncoder) -> str:
    """Return the identifier of the rules that make cards with this encoder."""
    return f"card-{_RELEASE}.{RULES_RELEASE}/{encoder.fingerprint}"


def draft_card(text: str, encoder: SparseEncoder) -> CardDraft:
    """Make the card of a version from its text, of which only the start is used.

    Of the fields, only the language is set, if it is certain.
    """
    cover = " ".join(text[:COVER_CHARS].split()[:_COVER_WORDS])
    code = detect_language_code(cover)
    language = get_language(code)
    terms = encoder.count_text_terms(cover, language=language)
    return CardDraft(get_card_maker(encoder), language.value, pack_terms(terms), rules=CardFields(language=code))


def pack_terms(terms: Mapping[int, float]) -> bytes:
    """Pack term ids and frequencies into bytes: all ids as 32-bit integers, then all frequencies as 32-bit floats."""
    ids = np.fromiter(terms.keys(), "<u4", len(terms))
    return ids.tobytes() + np.fromiter(terms.values(), "<f4", len(terms)).tobytes()


def unpack_terms(packed: bytes) -> tuple[TermIds, Frequencies]:
    """Unpack the result of `pack_terms`."""
    count = len(packed) // 8
    return np.frombuffer(packed, "<u4", count), np.frombuffer(packed, "<f4", count, offset=4 * count)


@dataclass(frozen=True)
class _Card:
    """The terms of a card. A term that is in the text and in the other field occurs twice."""

    title: str
    name: str
    ids: TermIds
    frequencies: Frequencies


class CardRanker:
    """Scores documents by how well their cards match a query.

    The terms of cards and queries are the encoder's, whatever encoder the index generation was built with.
    """

    def __init__(self, source: CardSource, encoder: SparseEncoder, load_corpus_version: Callable[[str], int]) -> None:
        """Store the dependencies. `load_corpus_version` returns the version of a tenant's corpus."""
        self._source = source
        self._encoder = encoder
        self._cache = _CardCache(load_corpus_version)

    def score_documents(
        self, tenant_id: str, query: str, versions: Sequence[VisibleVersion]
    ) -> dict[str, float] | None:
        """Return a score for each version, keyed by version id, or None if a version has no card yet.

        The score is BM25F over the start of the text and the title and file name. The inverse document frequency is
        taken over the given versions, not over the whole corpus: a word that all of them share tells none of them
        apart, and documents that the principal may not see have no effect.

            idf(t) = ln(1 + (N - n + 0.5) / (n + 0.5)), with n of the N given versions containing t

        Source: Robertson, Zaragoza & Taylor, "Simple BM25 extension to multiple weighted fields", CIKM 2004.
        """
        found = self._cache.find_cards(tenant_id, versions, self._load_cards)
        # guard: lift-needs-cards
        if len(found) < len(versions):
            return None
        asked = self._encoder.encode_query(query)
        weights = dict(zip(asked.indices, asked.values, strict=True))
        scores = dict.fromkeys(found, 0.0)
        matches = _collect_matches(found, weights)
        # Sums go through the terms in the query's order, so that scores do not depend on which cards were in memory.
        for term, asked_weight in weights.items():
            frequencies = matches.get(term, {})
            weight = asked_weight * _compute_idf(len(frequencies), len(versions))
            for version_id, frequency in frequencies.items():
                scores[version_id] += weight * self._encoder.saturate(frequency)
        return scores

    def _load_cards(self, versions: Sequence[VisibleVersion]) -> dict[str, _Card]:
        loaded = self._source.load_cards([each.version_id for each in versions], get_card_maker(self._encoder))
        return {
            each.version_id: self._build_card(each, loaded[each.version_id])
            for each in versions
            if each.version_id in loaded
        }

    def _build_card(self, version: VisibleVersion, stored: StoredCard) -> _Card:
        ids, frequencies = unpack_terms(stored.terms)
        words = "\n".join(filter(None, (_build_context(version), stored.written)))
        context = self._encoder.count_context_terms(words, language=Language(stored.language))
        return _Card(
            version.title,
            version.name,
            np.concatenate([ids, np.fromiter(context.keys(), np.uint32, len(context))]),
            np.concatenate([frequencies, np.fromiter(context.values(), np.float32, len(context))]),
        )


class _CardCache:
    """Cards in memory. A tenant's cards are dropped once its corpus has changed, so deleted documents do not stay."""

    def __init__(self, load_corpus_version: Callable[[str], int]) -> None:
        self._load_corpus_version = load_corpus_version
        self._lock = threading.Lock()
        self._corpora: dict[str, int] = {}
        self._cards: OrderedDict[tuple[str, str], _Card] = OrderedDict()

    def find_cards(
        self,
        tenant_id: str,
        versions: Sequence[VisibleVersion],
        load: Callable[[Sequence[VisibleVersion]], Mapping[str, _Card]],
    ) -> dict[str, _Card]:
        """Return the cards of versions, keyed by version id. Those that are not in memory are loaded with `load`."""
        # Read before the cards, so that after a concurrent change no earlier card is cached for the new corpus.
        corpus = self._load_corpus_version(tenant_id)
        with self._lock:
            self._drop_earlier(tenant_id, corpus)
            found = {each.version_id: card for each in versions if (card := self._get_current(tenant_id, each))}
        unknown = [each for each in versions if each.version_id not in found]
        if unknown:
            loaded = load(unknown)
            found |= loaded
            with self._lock:
                if self._corpora[tenant_id] == corpus:
                    self._cards.update({(tenant_id, version): card for version, card in loaded.items()})
                while len(self._cards) > _MAX_CACHED_CARDS:
                    self._cards.popitem(last=False)
        return found

    def _get_current(self, tenant_id: str, version: VisibleVersion) -> _Card | None:
        key = tenant_id, version.version_id
        card = self._cards.get(key)
        if card is None or (card.title, card.name) != (version.title, version.name):
            return None
        self._cards.move_to_end(key)
        return card

    def _drop_earlier(self, tenant_id: str, corpus: int) -> None:
        # guard: cards-corpus
        if self._corpora.get(tenant_id, -1) < corpus:
            self._corpora[tenant_id] = corpus
            for key in [key for key in self._cards if key[0] == tenant_id]:
                del self._cards[key]


def _collect_matches(cards: Mapping[str, _Card], terms: Collection[int]) -> dict[int, dict[str, float]]:
    """Return the frequency of each of the terms on each card that has it, keyed by term and by version id."""
    matches: dict[int, dict[str, float]] = {}
    if not cards or not terms:
        return matches
    ids = np.concatenate([card.ids for card in cards.values()])
    frequencies = np.concatenate([card.frequencies for card in cards.values()])
    owners = np.repeat(np.arange(len(cards)), [len(card.ids) for card in cards.values()])
    wanted = np.fromiter(terms, np.uint32, len(terms))
    # Comparing the low bits first takes a quarter of the time of comparing all ids.
    low_bits = np.zeros(1 << 16, bool)
    low_bits[wanted & 0xFFFF] = True
    likely = np.flatnonzero(low_bits[ids & 0xFFFF])
    matching = likely[np.isin(ids[likely], wanted)]
    names = list(cards)
    for term, owner, frequency in zip(
        ids[matching].tolist(), owners[matching].tolist(), frequencies[matching].tolist(), strict=True
    ):
        of_term = matches.setdefault(term, {})
        of_term[names[owner]] = of_term.get(names[owner], 0.0) + frequency
    return matches


def _build_context(version: VisibleVersion) -> str:
    """Return the title and the name of the file, without its extension. A title that is the file's name counts once."""
    name = PurePath(version.name).stem
    return name if version.title in ("", name, version.name) else f"{version.title}\n{name}"


def _compute_idf(containing: int, total: int) -> float:
    return math.log(1 + (total - containing + 0.5) / (containing + 0.5))
