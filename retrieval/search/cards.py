"""Document cards in searches: the terms that tell documents apart, and how well each document matches a query.

A card has two fields: the start of the document's text, weighted when the document is ingested, and the title and file
name, read from the catalog by each search, because they can change.
"""

import math
import threading
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePath
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ingest.storage.documents.cards.records import CardDraft, StoredCard
from ingest.storage.documents.rows import VisibleVersion
from retrieval.index.bm25 import SparseEncoder
from retrieval.index.languages import Language, detect_language

# The part of a document's text that belongs to its card, in words. Measured on filings: 100 to 300 words are equally
# good, and with 500 words the right filing is first less often. The limit in characters is for scripts without spaces.
_COVER_WORDS = 200
COVER_CHARS = 2_000
# Change this number when the rules in this module change. Cards are then made again in the background.
_RELEASE = 1
# Cached cards and contexts of this many versions take about 40 MB: a card has up to 400 terms and takes up to 4 KB in
# memory, and a context takes about the same.
_MAX_CACHED_VERSIONS = 5_000

TermIds = npt.NDArray[np.uint32]
Frequencies = npt.NDArray[np.float32]


class CardSource(Protocol):
    """The stored cards of versions that `maker` made, keyed by version id. Versions without one are omitted."""

    def load_cards(self, version_ids: Collection[str], maker: str) -> Mapping[str, StoredCard]: ...


def get_card_maker(encoder: SparseEncoder) -> str:
    """Return the identifier of the rules that make cards with this encoder."""
    return f"card-{_RELEASE}/{encoder.fingerprint}"


def draft_card(text: str, encoder: SparseEncoder) -> CardDraft:
    """Make the card of a version from its text, of which only the start is used."""
    cover = " ".join(text[:COVER_CHARS].split()[:_COVER_WORDS])
    language = detect_language(cover)
    terms = encoder.count_text_terms(cover, language=language)
    return CardDraft(get_card_maker(encoder), language.value, pack_terms(terms))


def pack_terms(terms: Mapping[int, float]) -> bytes:
    """Pack term ids and frequencies into bytes: all ids as 32-bit integers, then all frequencies as 32-bit floats."""
    ids = np.fromiter(terms.keys(), "<u4", len(terms))
    return ids.tobytes() + np.fromiter(terms.values(), "<f4", len(terms)).tobytes()


def unpack_terms(packed: bytes) -> tuple[TermIds, Frequencies]:
    """Unpack the result of `pack_terms`."""
    count = len(packed) // 8
    return np.frombuffer(packed, "<u4", count), np.frombuffer(packed, "<f4", count, offset=4 * count)


@dataclass(frozen=True)
class _Cover:
    language: Language
    ids: TermIds
    frequencies: Frequencies


class CardRanker:
    """Scores documents by how well their cards match a query. Cards are cached in memory.

    The terms of cards and queries are the encoder's, whatever encoder the index generation was built with. A version
    that is ingested again, with the same file, keeps its cached card until it is evicted.
    """

    def __init__(self, source: CardSource, encoder: SparseEncoder) -> None:
        self._source = source
        self._encoder = encoder
        self._lock = threading.Lock()
        self._covers: OrderedDict[str, _Cover] = OrderedDict()
        self._count_context_terms = lru_cache(_MAX_CACHED_VERSIONS)(self._read_context)

    def score_documents(self, query: str, versions: Sequence[VisibleVersion]) -> dict[str, float] | None:
        """Return a score for each version, keyed by version id, or None if a version has no card yet.

        The score is BM25F over the start of the text and the title and file name. The inverse document frequency is
        taken over the given versions, not over the whole corpus: a word that all of them share tells none of them
        apart, and documents that the principal may not see have no effect.

            idf(t) = ln(1 + (N - n + 0.5) / (n + 0.5)), with n of the N given versions containing t

        Source: Robertson, Zaragoza & Taylor, "Simple BM25 extension to multiple weighted fields", CIKM 2004.
        """
        covers = self._load_covers([each.version_id for each in versions])
        # guard: lift-needs-cards
        if len(covers) < len(versions):
            return None
        encoded = self._encoder.encode_query(query)
        wanted = dict(zip(encoded.indices, encoded.values, strict=True))
        order = np.sort(np.fromiter(wanted, np.uint32, len(wanted)))
        found: dict[int, dict[str, float]] = {}
        for version in versions:
            for term, frequency in self._iter_matches(version, covers[version.version_id], order):
                of_term = found.setdefault(term, {})
                of_term[version.version_id] = of_term.get(version.version_id, 0.0) + frequency
        scores = dict.fromkeys(covers, 0.0)
        for term, frequencies in found.items():
            weight = wanted[term] * _compute_idf(len(frequencies), len(versions))
            for version_id, frequency in frequencies.items():
                scores[version_id] += weight * self._encoder.saturate(frequency)
        return scores

    def _iter_matches(self, version: VisibleVersion, cover: _Cover, order: TermIds) -> list[tuple[int, float]]:
        """Return the query's terms that occur on a card, with their frequencies. A term may be returned twice."""
        if not len(order):
            return []
        places = np.minimum(np.searchsorted(order, cover.ids), len(order) - 1)
        matching = order[places] == cover.ids
        matches = list(zip(cover.ids[matching].tolist(), cover.frequencies[matching].tolist(), strict=True))
        asked = set(order.tolist())
        context = self._count_context_terms(_build_context(version), cover.language)
        return matches + [(term, frequency) for term, frequency in context if term in asked]

    def _read_context(self, context: str, language: Language) -> tuple[tuple[int, float], ...]:
        return tuple(self._encoder.count_context_terms(context, language=language).items())

    def _load_covers(self, version_ids: Sequence[str]) -> dict[str, _Cover]:
        with self._lock:
            covers = {each: self._covers[each] for each in version_ids if each in self._covers}
            for each in covers:
                self._covers.move_to_end(each)
        unknown = [each for each in version_ids if each not in covers]
        if unknown:
            loaded = {
                version: _Cover(Language(card.language), *unpack_terms(card.terms))
                for version, card in self._source.load_cards(unknown, get_card_maker(self._encoder)).items()
            }
            covers |= loaded
            with self._lock:
                self._covers.update(loaded)
                while len(self._covers) > _MAX_CACHED_VERSIONS:
                    self._covers.popitem(last=False)
        return covers


def _build_context(version: VisibleVersion) -> str:
    """Return the title and the name of the file, without its extension. A title that is the file's name counts once."""
    name = PurePath(version.name).stem
    return name if version.title in ("", name, version.name) else f"{version.title}\n{name}"


def _compute_idf(containing: int, total: int) -> float:
    return math.log(1 + (total - containing + 0.5) / (containing + 0.5))
