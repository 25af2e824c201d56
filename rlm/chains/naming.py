"""What a sentence calls a thing, and which sentences are on a thing of that name and no other."""

import re
from collections.abc import Callable, Sequence

from retrieval.passages import Passage
from rlm.namesakes import of_a_namesake
from rlm.nearest import Sentence
from rlm.quotes import locate
from rlm.sentences import with_antecedent

_OPENING, _CLOSING = "\"“'‘«", "\"”'’»"
_KIND = re.compile(rf"\b(?:the|a|an|The|A|An) ((?:[a-z][\w'’-]* ){{1,3}}[{_OPENING}]?)$")
_NAME = re.compile(r"[^\W_a-z].*", re.DOTALL)
_CAPITALS = re.compile(r"[^\W\d_a-z][\w'’-]*(?:(?: &)? [^\W\d_a-z][\w'’-]*)*")
_ENDED = (".", "!", "?", ":")
# "Stonebury in Saltshire": where a thing is tells it from others of the name as well.
_WHERE = re.compile(r" in [^\W\d_a-z][\w'’-]*")


def with_kind(sentence: str, name: str) -> str:
    """A name with what the sentence calls it, or where it is, which tells it from others of the name: "stone bridge
    Mason's Crossing", "Stonebury in Saltshire"."""
    span = locate(name, sentence)
    if span is None:
        return name
    kind = _kind(sentence, span[0])
    if kind:
        quoted = kind[-1] in _OPENING and sentence[span[1] : span[1] + 1] in _CLOSING
        return kind + sentence[span[0] : span[1] + quoted]
    where = _WHERE.match(sentence, span[1])
    return sentence[span[0] : where.end() if where else span[1]]


def names(sentence: str) -> list[str]:
    """The runs of capitalised words, such as "Quarry & Sons", without a word that only opens the sentence."""
    found = []
    for match in _CAPITALS.finditer(sentence):
        before = sentence[: match.start()].strip()
        opens = not before or before.endswith(_ENDED)
        two = len(match[0].replace(" &", "").split()) == 2
        name = match[0].partition(" ")[2] if opens and not two else match[0]
        found += [name] if name else []
    return list(dict.fromkeys(found))


def _kind(sentence: str, start: int) -> str:
    """The words between an article and the name that starts there, such as `comedy "`."""
    found = _KIND.search(sentence[:start])
    return found[1] if found else ""


def named(name: str, sentences: Sequence[Sentence], passages: Sequence[Passage]) -> list[Sentence]:
    """Of all sentences of passages, those with the name as it was found, kind and all; else those with the bare name,
    and no other kind; else those with its last word, and no other before it. With each, those of its passage that begin
    with "she"."""
    bare = _bare(name)
    last = bare.split()[-1]
    tiers: tuple[Callable[[str], object], ...] = (
        lambda text: locate(name, text),
        lambda text: locate(bare, text) and not _of_another_kind(name, text),
        lambda text: locate(last, text) and not of_a_namesake(bare, text),
    )
    for holds in tiers:
        found = [each for each in sentences if holds(each.text)]
        if found:
            within = {each.passage for each in found}
            return [each for each in sentences if each in found or (each.passage in within and _leans(each, passages))]
    return []


def _leans(sentence: Sentence, passages: Sequence[Passage]) -> bool:
    span = sentence.start, sentence.end
    return with_antecedent(passages[sentence.passage].text, *span) != span


def _bare(name: str) -> str:
    """Without the words of its kind, without where it is, and without quotation marks."""
    found = _NAME.search(_WHERE.sub("", name))
    return (found[0] if found else name).strip(_OPENING + _CLOSING + " ") or name


def _of_another_kind(name: str, sentence: str) -> bool:
    """Whether the sentence calls what has the name something else, a "toll bridge" that is no "swing bridge", or has it
    elsewhere."""
    bare = _bare(name)
    kinds: list[set[str]] = []
    places: set[str] = set()
    for text in (f"the {name}", sentence):
        span = locate(bare, text)
        kinds.append(set(_kind(text, span[0]).strip(_OPENING).split()) if span else set())
        if span and (where := _WHERE.match(text, span[1])):
            places.add(where[0])
    one, other = kinds
    return len(places) > 1 or (bool(one and other) and not (one <= other or other <= one))
