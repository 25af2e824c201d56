"""Finds the documents that are nearest to a question by their names, for prompts that show none of their text."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from math import log

from rlm.corpus.corpus import Corpus, CorpusDocument
from rlm.untrusted import to_one_line

# Maximum number of subjects that are listed after the name of a document.
_SUBJECTS = 2
# Names join words with underscores and digits: "Brandt_2022Q3.pdf". Letters and digits are therefore separate words.
_WORD = re.compile(r"[^\W\d_]+|\d+")


def list_nearest(
    corpus: Corpus, found: Iterable[str], question: str, *, shown: Collection[CorpusDocument], limit: int
) -> list[CorpusDocument]:
    """Return at most `limit` documents that are not `shown`, nearest to the question first.

    The documents that searches `found`, given by id, come first and in that order. Then follow documents whose names
    share words with the question; rarer words count more. If no more than `limit` documents are not shown, all of them
    are returned. Documents that the principal may no longer see are omitted.
    """
    # guard: nearest-names-open
    rest = [each for each in corpus.documents if each not in shown and corpus.is_visible(each)]
    places = {identifier: place for place, identifier in enumerate(dict.fromkeys(found))}
    searched = sorted(
        (each for each in rest if each.handle.document_id in places),
        key=lambda each: places[each.handle.document_id],
    )
    if len(searched) >= limit:
        return searched[:limit]
    others = [each for each in rest if each.handle.document_id not in places]
    weights = _compute_weights(others, _split_words(question))
    ranked = sorted(others, key=lambda each: -weights.get(each.handle.document_id, 0.0))
    if len(rest) > limit:
        ranked = [each for each in ranked if each.handle.document_id in weights]
    return (searched + ranked)[:limit]


def list_own_subjects(documents: Sequence[CorpusDocument]) -> dict[CorpusDocument, list[str]]:
    """Return the first subjects of each document that no other of these documents has, for lists that name documents.

    Subjects in a document's title or file name are left out. Documents without such a subject are omitted.
    """
    subjects = {each: [to_one_line(subject) for subject in each.subjects] for each in documents}
    counts = Counter(subject.casefold() for own in subjects.values() for subject in set(own))
    found: dict[CorpusDocument, list[str]] = {}
    for document, own in subjects.items():
        names = f"{document.title} {document.name}".casefold()
        # guard: own-subjects-only
        some = [each for each in own if counts[each.casefold()] == 1 and each.casefold() not in names]
        if some:
            found[document] = some[:_SUBJECTS]
    return found


def _compute_weights(documents: Collection[CorpusDocument], wanted: frozenset[str]) -> dict[str, float]:
    """Return the weight of the words that each document's names share with `wanted`, by id; only if there are any.

    A word's weight is its inverse document frequency over the names, as in BM25 (Robertson & Sparck Jones, 1976).
    """
    shared = {each.handle.document_id: wanted & _split_words(f"{each.title} {each.name}") for each in documents}
    counts = Counter(word for words in shared.values() for word in words)
    idf = {word: log(1 + (len(documents) - n + 0.5) / (n + 0.5)) for word, n in counts.items()}
    return {identifier: sum(idf[word] for word in words) for identifier, words in shared.items() if words}


def _split_words(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(text.casefold()))
