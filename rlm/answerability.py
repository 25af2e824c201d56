"""Whether passages can answer a question, decided by code, because small readers cannot tell.

Offered a way out, a small model takes it for most questions that do have an answer; offered none, it always finds
something. So the reader is never asked; a passage's own evidence is weighed: how near the bi-encoder puts it to the
question, and how many of the question's content words and numbers it has.

    score(question, passage) = cosine + coverage, in [-1, 2]

Equal weights: a logistic fit gives 6.0 and 8.0, and its ROC AUC differs in the third decimal.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from retrieval.passages import Passage
from rlm.support import Support
from rlm.words import Words, coverage, stem, words

# On XQuAD with five passages (ROC AUC 0.949) 14 % of the questions whose paragraph is among them score under this, and
# 89 % of those whose paragraph is not. Its questions borrow their paragraph's words, so an answer under the threshold
# is not refused but must be confirmed by a second reading, which finds three of four right ones right.
THRESHOLD = 1.1
# The same where no second reading is possible: 6 % and 79 %.
UNREAD_THRESHOLD = 0.95
# Questions in other words than their passage score 0.28 to 0.6; those about something else entirely 0 to 0.2.
WORTH_READING = 0.25

SECOND_READING = "a second reading"
# What stands for a second reading, in nats of the question's likelihood and of four times that of a yes over a no: so
# far ahead of all others must the sentence be that the answer rests on; where nothing could be compared that is said of
# somebody else, so far. `DECISIONS.md` has what was measured.
CLEAR_LEAD, CLEAR_LEAD_ALONE = 6.5, 12.0
# It must not be behind what is said of others by more than this, and the "no" not by so much likelier than the "yes".
CLEAR_BEHIND, LEAST_AFFIRMED = 5.0, -1.5
# Nothing is read where it is further behind than this.
MOST_BEHIND = 8.0
# In nats: of an answer that is checked otherwise, how much likelier than "wrong" a second look's "right" must be; and
# where it rests on the likeliest sentence, which was compared with what is said of others: right ones had -0.07 and
# more and a wrong one -0.35 when it was set; since then, a right one -0.21 and a wrong one 0.45.
HELD, HELD_OF_LIKELIEST = 0.0, -0.2

# What a passage that was never compared with the question is taken to have: the value between the medians of passages
# that answer (0.58) and of the best of those that do not (0.40).
_UNKNOWN_COSINE = 0.5
_MISSING_WORDS_SHOWN = 6

# Words that frame a question and are absent from passages that answer it, whatever they are about.
_FRAMING = """according amount call called date describe discuss document documents explain give happen happened happens
    key kind list main many mention mentioned name named number passage people percentage person purpose reason
    regarding role say says sort specific tell term text type types"""
_FRAMING_STEMS = frozenset(map(stem, _FRAMING.split()))


@dataclass(frozen=True)
class Decision:
    """Whether an answer may be given, and why, in sentences; `score` is the deciding passage's."""

    answerable: bool
    score: float
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Weighed:
    """A passage with its evidence; `missing` holds the question's words and numbers that it lacks, as written."""

    passage: Passage
    score: float
    cosine: float
    coverage: float
    missing: tuple[str, ...]


def weigh(question: str, passages: Sequence[Passage]) -> list[Weighed]:
    """The passages with their scores, best first; ties keep the order of retrieval.

    A passage's nearest sentence, where it was compared, counts for the order and not for the score.
    """
    wanted = question_words(question)
    known = [passage.cosine for passage in passages if passage.cosine is not None]
    # A hit without a cosine was found by its words only: the bi-encoder ranked it below all that it did return.
    assumed = min([_UNKNOWN_COSINE, *known])
    weighed = [_weigh(wanted, passage, assumed) for passage in passages]
    return sorted(weighed, key=lambda each: (-(each.score + (each.passage.nearest or 0.0)), each.passage.rank))


def before_reading(weighed: Sequence[Weighed]) -> Decision:
    """Whether reading is worth its tokens; a passage may say in other words what the question asks."""
    if not weighed:
        return Decision(False, 0.0, ("No passage was found.",))
    best = weighed[0]
    if best.score >= WORTH_READING:
        return Decision(True, best.score, (_evidence(best),))
    return Decision(False, best.score, (_evidence(best), f"Under {WORTH_READING} nothing is read."))


def said_of_others(best: Weighed) -> Decision:
    """Nothing need be read where others are said what is asked, and who is asked about is not."""
    return Decision(False, best.score, (_evidence(best), "What is asked is said here of others only."))


def after_reading(
    cited: Weighed | None,
    support: Support | None,
    *,
    apart: bool = False,
    confirmed: bool | None = None,
    by: str = SECOND_READING,
) -> Decision:
    """Whether what the reader gave may be shown.

    Its quotation must have been located in a passage. That passage must be over the threshold, and its sentence not
    `apart`, with nothing of the question but whom it asks about; or else the answer both supported and `confirmed`,
    `by` a second reading or what stands for it; None means that there was none.
    """
    if cited is None or support is None:
        return Decision(False, 0.0, ("Nothing the model quoted stands in the passages.",))
    reasons = (_evidence(cited), support.reason or "The quotation was located and supports the answer.")
    if cited.score >= THRESHOLD and not apart:
        return Decision(True, cited.score, reasons)
    doubt = f"That is under {THRESHOLD}, and "
    if cited.score >= THRESHOLD:
        doubt = "What it quotes has nothing of the question but whom it asks about, and "
    if not support.supported or confirmed is None:
        return Decision(False, cited.score, (*reasons, doubt + "no second reading confirmed the answer."))
    verdict = f"{by} confirmed the answer." if confirmed else f"{by} found the answer wrong."
    return Decision(confirmed, cited.score, (*reasons, doubt + verdict))


def question_words(question: str) -> Words:
    """The words of a question that a passage answering it should have."""
    found = words(question)
    stems = {root: written for root, written in found.stems.items() if root not in _FRAMING_STEMS}
    return Words(stems, found.numbers, found.names)


def _evidence(weighed: Weighed) -> str:
    """The score in words: what the passage has of the question and what it lacks."""
    lacking = f"; it lacks {', '.join(weighed.missing[:_MISSING_WORDS_SHOWN])}" if weighed.missing else ""
    return (
        f"The best passage, from “{weighed.passage.title}”, has {weighed.coverage:.0%} of the question's words "
        f"at a similarity of {weighed.cosine:.2f}, together {weighed.score:.2f}{lacking}."
    )


def _weigh(wanted: Words, passage: Passage, assumed: float) -> Weighed:
    given = words("\n".join((passage.title, *passage.heading_path, passage.text)))
    cosine = assumed if passage.cosine is None else passage.cosine
    share = coverage(wanted, given)
    values = given.values
    missing = [number for number, meant in wanted.numbers.items() if meant.isdisjoint(values)]
    missing += [written for root, written in wanted.stems.items() if root not in given.stems]
    return Weighed(passage, cosine + share, cosine, share, tuple(missing))
