"""BM25 weights for documents and queries: the sparse half of hybrid retrieval.

The engine's own encoder stems words and removes stop words, in the document's language. A document's terms are its
words, its numbers without separators ("12,345" becomes 12345), and pairs of adjacent words, so that a phrase counts for
more than the same words apart. The engine multiplies each weight by the term's idf at query time (`Modifier.Idf`).

Pairs are hashed to a limited number of ids. Most pairs of a corpus occur only once, and for each id the engine keeps a
list of chunks, so with an id per pair these lists were most of the index.

A text's length is its number of words, excluding numbers. Length normalization penalizes wordiness, but a table full of
numbers is not wordy: when numbers counted, prose ranked above the table that contained the number.
"""

import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Protocol

from qdrant_edge import Bm25, Bm25Config

from retrieval.index.languages import Language
from retrieval.index.port import SparseVector

# Mean number of terms in a chunk, without stop words. Books, abstracts and encyclopaedia articles that are split at
# 1,000 characters have 84 to 112 terms per chunk, and BM25's quality hardly changes around this value.
AVERAGE_CHUNK_TERMS = 100.0
# Weight of an occurrence in the title, the headings or the file name, relative to one in the text. On half of the
# questions of five collections, raising this weight from 1 to 2 improved results for books, and did not change results
# for the other collections.
CONTEXT_WEIGHT = 2.0
# Weight of a pair of words, relative to a single word. On half of the questions of five collections, all weights from
# 0.1 to 0.4 give the same quality.
PAIR_WEIGHT = 0.2
# Number of ids of pairs. Two pairs with the same id count as one term. For 55,890 chunks, the index is 333 MB instead
# of 735 MB with an id per pair, and nDCG@10 of two collections is the same within 0.003.
_PAIR_ID_BITS = 18

_WORD = re.compile(r"[^\W_]+")
_NUMBER = re.compile(r"\d+(?:[.,:/-]\d+)+")
# Matches a number with separators between its groups, including Indian grouping (12,34,567).
_GROUPED_NUMBER = re.compile(r"(?<![\d,])\d{1,3}(?:,\d{2,3})*,\d{3}(?![\d,])")
# Matches characters of scripts without spaces between words. A run of these characters is indexed as overlapping pairs.
_UNSPACED = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+"
)
# Bit that is set in the ids of all terms except the engine's words, whose ids never have this bit set. Therefore, the
# two kinds of ids cannot collide.
_OWN_ID_BIT = 0x8000_0000
_MAX_CACHED_WORDS = 200_000


class SparseEncoder(Protocol):
    """An encoder that converts text to term weights.

    `fingerprint` identifies everything that affects the weights.
    """

    @property
    def fingerprint(self) -> str: ...

    def find_compatible_encoder(self, fingerprint: str) -> "SparseEncoder | None":
        """Return the encoder with this fingerprint: this encoder or an encoder of an earlier release.

        Returns None if the fingerprint is unknown.
        """

    def encode_document(self, text: str, *, context: str = "", language: Language = Language.ENGLISH) -> SparseVector:
        """Return the weights of a chunk. `context` is its title, headings and file name."""

    def encode_query(self, text: str) -> SparseVector:
        """Return the weights of a query, for the terms that it would have in each language."""

    def count_text_terms(self, text: str, *, language: Language = Language.ENGLISH) -> dict[int, float]:
        """Return how often each term occurs in a text, normalized by the length of the text."""

    def count_context_terms(self, context: str, *, language: Language = Language.ENGLISH) -> dict[int, float]:
        """Return how often each term occurs in titles and names, multiplied by the weight of the context."""

    def saturate(self, frequency: float) -> float:
        """Convert the sum of a term's frequencies in a text and its context to the term's weight."""


class Bm25Encoder:
    """`bm25f(k1, b)` over two fields, the text and its context, with stop words and Snowball stemming.

    score(q, d) = sum over terms of qtf * idf * x * (k1 + 1) / (x + k1), where
    x = tf(text) / (1 - b + b * |text| / avgdl) + CONTEXT_WEIGHT * tf(context), |text| without numbers.
    Sources: Robertson, Zaragoza & Taylor, "Simple BM25 extension to multiple weighted fields", CIKM 2004; Robertson &
    Zaragoza, The Probabilistic Relevance Framework (2009); k1 = 1.2 and b = 0.75 are its usual values.
    """

    _release = 3

    def __init__(self, *, k1: float = 1.2, b: float = 0.75, avgdl: float = AVERAGE_CHUNK_TERMS) -> None:
        self._k1, self._b, self._avgdl = k1, b, avgdl
        self._words = {language: _LanguageTerms(language) for language in Language}
        self.fingerprint = f"bm25f-edge-{self._release}/{k1}/{b}/{avgdl:g}/{CONTEXT_WEIGHT:g}"

    def find_compatible_encoder(self, fingerprint: str) -> "Bm25Encoder | None":
        if fingerprint == self.fingerprint:
            return self
        earlier = EarlierBm25Encoder(k1=self._k1, b=self._b, avgdl=self._avgdl)
        return earlier if fingerprint == earlier.fingerprint else None

    def encode_document(self, text: str, *, context: str = "", language: Language = Language.ENGLISH) -> SparseVector:
        found = self.count_text_terms(text, language=language)
        for term, frequency in self.count_context_terms(context, language=language).items():
            found[term] = found.get(term, 0.0) + frequency
        return SparseVector(tuple(found), tuple(map(self.saturate, found.values())))

    def count_text_terms(self, text: str, *, language: Language = Language.ENGLISH) -> dict[int, float]:
        words, text = self._words[language], self._join_digit_groups(text)
        read = self._extract_content_words(text)
        terms = words.list_terms(read)
        # guard: bm25-figures-length
        length = 1 - self._b + self._b * (len(terms) - self._count_excluded_terms(words, read)) / self._avgdl
        counts = Counter([*terms, *self._iter_pair_ids(terms), *self._list_special_terms(words, text)])
        return {term: count / length for term, count in counts.items()}

    def count_context_terms(self, context: str, *, language: Language = Language.ENGLISH) -> dict[int, float]:
        words, context = self._words[language], self._join_digit_groups(context)
        terms = words.list_terms(self._extract_content_words(context))
        counts = Counter([*terms, *self._iter_pair_ids(terms), *self._list_special_terms(words, context)])
        return {term: count * CONTEXT_WEIGHT for term, count in counts.items()}

    def saturate(self, frequency: float) -> float:
        return frequency * (self._k1 + 1) / (frequency + self._k1)

    def encode_query(self, text: str) -> SparseVector:
        """Return the query's terms in every language, weighted by occurrence.

        A document only has terms in its own language.
        """
        text = self._join_digit_groups(text)
        asked = self._extract_content_words(text)
        weights: dict[int, float] = {}
        for term in self._list_special_terms(self._words[Language.ENGLISH], text):
            weights[term] = weights.get(term, 0.0) + 1.0
        for words in self._words.values():
            terms = words.list_terms(asked)
            for term in terms:
                weights[term] = weights.get(term, 0.0) + 1.0
            for term in self._iter_pair_ids(terms):
                weights[term] = weights.get(term, 0.0) + PAIR_WEIGHT
        return SparseVector(tuple(weights), tuple(weights.values()))

    def _join_digit_groups(self, text: str) -> str:
        """Remove the thousands separators from numbers: "12,345" becomes "12345"."""
        return _GROUPED_NUMBER.sub(lambda number: number[0].replace(",", ""), text) if "," in text else text

    def _count_excluded_terms(self, language_terms: "_LanguageTerms", content_words: Sequence[str]) -> int:
        """Count the terms that are excluded from the length of a text."""
        return len(language_terms.list_terms(filter(str.isdecimal, content_words)))

    def _list_special_terms(self, language_terms: "_LanguageTerms", text: str) -> list[int]:
        """Return the terms of a text that are not words: numbers with separators, and pairs of unspaced characters."""
        return [*map(_compute_term_id, _extract_numbers(text)), *language_terms.list_unspaced_terms(text)]

    def _iter_pair_ids(self, terms: Iterable[int]) -> Iterator[int]:
        """Yield the id of each pair of adjacent terms."""
        return (_mix_pair(first, second) >> 32 - _PAIR_ID_BITS | _OWN_ID_BIT for first, second in pairwise(terms))

    def _extract_content_words(self, text: str) -> list[str]:
        """Return the words of a text except English stop words, because the language of a query is unknown."""
        english = self._words[Language.ENGLISH]
        return [word for word in _WORD.findall(text) if english.ids(word)]


class EarlierBm25Encoder(Bm25Encoder):
    """The encoder of the previous release, in which each pair of words had an id of its own.

    During an upgrade, and until `leadline index rebuild`, both releases search and write the same index. Remove this
    class once no index in use was built with that release.
    """

    _release = 2

    def _iter_pair_ids(self, terms: Iterable[int]) -> Iterator[int]:
        return (_mix_pair(first, second) | _OWN_ID_BIT for first, second in pairwise(terms))


class _LanguageTerms:
    """The term ids of one language. Each language other than English has separate ids, so that stems never collide."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self._bm25 = Bm25(Bm25Config(language=language.value))
        self._apart = 0 if language is Language.ENGLISH else zlib.crc32(language.encode()) & ~_OWN_ID_BIT
        self.ids = lru_cache(_MAX_CACHED_WORDS)(self._compute_term_ids)

    def list_terms(self, words: Iterable[str]) -> list[int]:
        """Return the ids of the words, in order. Stop words have no id."""
        return [term for word in words for term in self.ids(word)]

    def list_unspaced_terms(self, text: str) -> list[int]:
        """Return the ids of character pairs in unspaced scripts, which do not depend on the language."""
        runs = () if text.isascii() else _UNSPACED.findall(text)
        return [_compute_term_id("".join(pair)) for run in runs for pair in pairwise(run)]

    def _compute_term_ids(self, word: str) -> Sequence[int]:
        return [term ^ self._apart for term in self._bm25.embed_query(word).indices]


def find_matched_words(encoder: SparseEncoder, query: str, text: str) -> tuple[str, ...]:
    """Return the distinct query words that BM25 matches in a text, in query order, without stop words."""
    (found,) = iter_matched_words(encoder, query, [text])
    return found


def iter_matched_words(encoder: SparseEncoder, query: str, texts: Iterable[str]) -> Iterator[tuple[str, ...]]:
    """Yield the query words that BM25 matches in each text. The query is encoded only once."""
    asked = {word: encoder.encode_query(word).indices for word in dict.fromkeys(_WORD.findall(query))}
    for text in texts:
        there = set(encoder.encode_query(text).indices)
        yield tuple(word for word, terms in asked.items() if there.intersection(terms))


def _mix_pair(first: int, second: int) -> int:
    """Hash a pair of terms to 32 bits, the upper of which are mixed best."""
    return (first * 0x9E37_79B1 + second) & 0xFFFF_FFFF


def _extract_numbers(text: str) -> Sequence[str]:
    """Return the numbers of a text that contain separators, such as "1.5" and "2024-01-31"."""
    return _NUMBER.findall(text) if any(mark in text for mark in ".,:/-") else ()


def _compute_term_id(text: str) -> int:
    return zlib.crc32(text.encode()) | _OWN_ID_BIT
