"""Looking up one link of a chain: which sentence says what a description is called, and what it is called there."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from retrieval.passages import Passage
from rlm.answers import Usage
from rlm.candidates import Candidate, Cosines, best, distinct_sentences, nearest
from rlm.chains.guesses import guessed
from rlm.chains.links import Links
from rlm.chains.naming import named, names, with_kind
from rlm.chains.prompts import check_call, lookup_call, read_lookup
from rlm.chains.wholes import saying_all
from rlm.likeliest import Ranking, rank, second_look
from rlm.namesakes import of_a_namesake
from rlm.replies import read_verdict
from rlm.strategies import Reading, Retriever
from rlm.subcalls.port import SubCall, SubCalls, SubFailure
from rlm.words import words

# Sentences shown together, and how often one of them is taken.
_SHOWN = 12
_TRIES = 3
# Of a model that tells likelihoods: how many sentences are compared for a description, whose words are seldom those of
# its sentence, and how many of them are read, one at a time.
_COMPARED = 40
_TRIES_ALONE = 4
# Of how many of them, for a description, it is asked whether they say all of it.
_WHOLE = 6
# By how many spreads one that does not must be ahead: of 40 generated chains 27 of 34 right ones are by so many, and of
# 50 wrong ones, with the right one missing, 22.
_AHEAD = 0.6
# In nats: how much likelier a second look's "right" must be than its "wrong", which a small model says too readily of
# what a sentence says about a name.
_HELD = -0.4
# The share of words besides the name by which two sentences say the same of it.
_SAME = 0.5
_YEAR = re.compile(r"\b1[0-9]{3}\b|\b20[0-9]{2}\b")


@dataclass(frozen=True)
class Link:
    """A description, or the question itself, with its answer and the sentence that says so."""

    asked: str
    answer: str
    source: Candidate


@dataclass
class Record:
    """What looking up came to so far: passages found and read, calls and tokens, and what ended it, if anything."""

    usage: Usage = field(default_factory=Usage)
    found: list[Passage] = field(default_factory=list)
    read: list[Passage] = field(default_factory=list)
    lookups: int = 0
    stopped: SubFailure | None = None


class Lookup:
    """Looks up links for one question; `weigh` where the model's server tells likelihoods."""

    def __init__(
        self,
        retrieve: Retriever,
        cosines: Cosines,
        subcalls: SubCalls,
        cancelled: Callable[[], bool],
        *,
        weigh: bool = False,
    ) -> None:
        self._retrieve = retrieve
        self._cosines = cosines
        self._subcalls = subcalls
        self._cancelled = cancelled
        self._weigh = weigh
        self.record = Record()

    def look_up(self, links: Links) -> Iterator[Reading | Link]:
        """What the next description may be, the likeliest first; each reading is told before it is made.

        Raises `RunCancelledError`.
        """
        self.record.lookups += 1
        found = self._described(links) if links.name is None else self._named(links, links.name)
        near = [each for each in found if not of_a_namesake(links.query, each.text)]
        taken: set[str] = set()
        for event in self._held(links, near, taken):
            if isinstance(event, Link) and links.later and links.name is not None:
                yield from self._newest_first(links, event, near, taken)
            else:
                yield event

    def _described(self, links: Links) -> list[Candidate]:
        """The sentences nearest to a description as it is and in the words that a model guesses for it, together."""
        passages = self._found(links.query)
        guess = self._guess(links.query) if passages else None
        if guess is not None:
            _add(passages, self._found(guess))
        queries = [links.query, *([guess] if guess else [])]
        sentences = distinct_sentences(passages)
        scores = self._cosines(queries, [each.text for each in sentences])
        return best(sentences, scores, passages, _COMPARED if self._weigh else _SHOWN)

    def _named(self, links: Links, name: str) -> list[Candidate]:
        """Of the sentences with the name those nearest to what is asked about it."""
        passages = self._found(links.query)
        sentences = named(name, distinct_sentences(passages), passages)
        return nearest(links.query, sentences, passages, self._cosines, _SHOWN)

    def _found(self, query: str) -> list[Passage]:
        passages = list(self._retrieve(query))
        _add(self.record.found, passages)
        return passages

    def _guess(self, description: str) -> str | None:
        guess, usage = guessed(description, self._subcalls, self._cancelled)
        self.record.usage += usage
        return guess

    def _held(self, links: Links, near: Sequence[Candidate], taken: set[str]) -> Iterator[Reading | Link]:
        """Each answer that is picked and then held to be right, but for sentences that are `taken`. One that was chosen
        for saying all of a description needs no second look: a small model says "right" of halves as well."""
        for group, chosen in self._groups(links, near, taken):
            yield self._reading(group)
            picked = self._pick(links, group)
            if self.record.stopped is not None:
                return
            if picked is not None:
                place, answer = picked
                taken.add(group[place].text)
                if links.answers(answer) and (chosen or self._holds(links, answer, group[place])):
                    yield self._link(links, answer, group[place])

    def _groups(
        self, links: Links, near: Sequence[Candidate], taken: set[str]
    ) -> Iterator[tuple[Sequence[Candidate], bool]]:
        """What to read in one call and then in the next, and whether it was chosen for all that it says: the nearest
        sentences together, less those that were taken; or one sentence at a time, the likeliest first, where the model
        tells likelihoods. Nothing is shown twice."""
        order, chosen = self._ordered(links, near) if self._weigh and near else ((), 0)
        if order:
            alone = enumerate(order[:_TRIES_ALONE])
            yield from (([each], at < chosen) for at, each in alone if each.text not in taken)
            return
        before: list[Candidate] = []
        for _ in range(_TRIES):
            shown = [each for each in near[:_SHOWN] if each.text not in taken]
            if shown in (before, []):
                return
            yield shown, False
            before = shown

    def _ordered(self, links: Links, near: Sequence[Candidate]) -> tuple[Sequence[Candidate], int]:
        """What is worth reading, the likeliest first, nothing where the model does not tell; and how many of the first
        were chosen for all that they say."""
        first = links.name is None
        ranking = rank(links.short_task, near, self._subcalls, self._cancelled, nearness=first)
        self.record.usage += ranking.usage
        if first:
            return self._whole(links, ranking)
        return sorted(ranking.sentences, key=lambda each: not _has_word(each.text, links.kind)), 0

    def _whole(self, links: Links, ranking: Ranking) -> tuple[Sequence[Candidate], int]:
        """The likeliest sentences, those first that say all of the description; where none does, the likeliest counts
        as one, if it is ahead. Of a description without parts none is chosen."""
        likeliest, others = ranking.sentences[:_WHOLE], ranking.sentences[2 * _WHOLE :: _WHOLE]
        said, usage = saying_all(links.short_task, _texts(likeliest), _texts(others), self._subcalls, self._cancelled)
        self.record.usage += usage
        if said is None:
            return ranking.sentences, 0
        if not any(said):
            return likeliest, int(ranking.lead >= _AHEAD)
        return [each for each, _ in sorted(zip(likeliest, said, strict=True), key=lambda both: not both[1])], sum(said)

    def _newest_first(
        self, links: Links, link: Link, near: Sequence[Candidate], taken: set[str]
    ) -> Iterator[Reading | Link]:
        """The link, and before it what a later source says in its place: what holds of one sentence holds of another
        that says the same. Where one is of the kind that is asked for, the other is too."""
        found = [link]
        of_kind = _has_word(link.source.text, links.kind)
        for other in near:
            if other.text in taken or not _restates(other.text, link, links.name or ""):
                continue
            if of_kind and not _has_word(other.text, links.kind):
                continue
            taken.add(other.text)
            yield self._reading([other])
            picked = self._pick(links, [other])
            if picked is not None and links.answers(picked[1]):
                found.append(self._link(links, picked[1], other))
        yield from sorted(found, key=_source_year, reverse=True)

    def _reading(self, group: Sequence[Candidate]) -> Reading:
        read = tuple(dict.fromkeys(each.passage for each in group))
        _add(self.record.read, read)
        return Reading(self.record.usage.calls + 1, read)

    def _pick(self, links: Links, shown: Sequence[Candidate]) -> tuple[int, str] | None:
        """Which sentence the model takes, and the answer it copies from it; None where it says neither."""
        text = self._ask(lookup_call(links.task, _texts(shown)))
        picked = None if text is None else read_lookup(text, _texts(shown))
        if picked is None or links.next is None:
            return picked
        place, answer = picked
        name = self._name(links, answer, shown[place].text)
        return None if name is None else (place, name)

    def _name(self, links: Links, answer: str, sentence: str) -> str | None:
        """What a description is called. A small model takes "hedgehog" for the name of the body in whose crest one is:
        where an answer is no name and the sentence has some, it is one of those that are not asked about. Without any,
        what hangs on a name that was found is not called by name there at all."""
        written, known = names(sentence), links.query.casefold()
        among = [name for name in written if name.casefold() not in known]
        if answer != answer.lower() or not written or not (among or links.name):
            return answer
        if not among:
            return None
        if len(among) == 1:
            return among[0]
        text = self._ask(lookup_call(links.task, [sentence], among))
        picked = None if text is None else read_lookup(text, [sentence])
        return answer if picked is None else picked[1]

    def _holds(self, links: Links, answer: str, source: Candidate) -> bool:
        excerpt = replace(source.passage, text=source.text)
        if self._weigh and links.name is not None:
            margin, usage = second_look(links.short_task, answer, excerpt, self._subcalls, self._cancelled)
            self.record.usage += usage
            if margin is not None:
                return margin >= _HELD
        text = self._ask(check_call(links.short_task, answer, excerpt))
        return text is not None and read_verdict(text)

    def _link(self, links: Links, answer: str, source: Candidate) -> Link:
        if links.next is None:
            return Link(f"{links.asked}?", answer, source)
        return Link(links.next, with_kind(source.text, answer), source)

    def _ask(self, call: SubCall) -> str | None:
        (reply,) = self._subcalls.run([call], cancelled=self._cancelled)
        if isinstance(reply, SubFailure):
            self.record.usage += reply.usage
            self.record.stopped = reply
            return None
        if not reply.cached:
            self.record.usage += reply.usage
        return reply.text


def _texts(sentences: Sequence[Candidate]) -> list[str]:
    return [each.text for each in sentences]


def _add(to: list[Passage], passages: Sequence[Passage]) -> None:
    """Those that stand elsewhere than the ones that are there; another search may have found the same."""
    places = {_place(passage) for passage in to}
    to += [passage for passage in passages if _place(passage) not in places]


def _place(passage: Passage) -> tuple[str, int, int]:
    return passage.version_id, passage.start, passage.end


def _has_word(sentence: str, word: str) -> bool:
    return bool(word) and re.search(rf"(?<!\w){re.escape(word)}(?!\w)", sentence, re.IGNORECASE) is not None


def _restates(sentence: str, link: Link, name: str) -> bool:
    """Whether half of what the link's sentence says besides its answer and the name is said here too."""
    known = words(f"{name} {link.answer}").stems.keys()
    said = words(link.source.text).stems.keys() - known
    return bool(said) and len(said & words(sentence).stems.keys()) >= _SAME * len(said)


def _source_year(link: Link) -> int:
    """The latest year in the sentence but for the answer's; nothing where there is none."""
    answered = set(_YEAR.findall(link.answer))
    return max((int(year) for year in _YEAR.findall(link.source.text) if year not in answered), default=0)
