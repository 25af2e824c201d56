"""Selects what a judge reads: the words of a passage on which sentences rest, and the sentences of an answer."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from retrieval.search.requests import Passage
from rlm.answers import OfferedQuote, Quote, Sentence
from rlm.checking.nearest import extract_figures, has_only_table_rows, list_quotable_spans
from rlm.checking.quotes import Span, fold_text, is_inside_word
from rlm.checking.rows import list_row_context

LEFT_OUT = "[…]"
# Maximum length of a quotation with the text around it. A longer quotation is shown whole, without the text around it.
# Sentences of running text have 100 to 200 characters, so this has room for the quoted sentence and two before it.
EXCERPT_CHARS = 600
_BLANK_LINE = re.compile(r"\n[ \t]*\n")


def cut_to_quotes(
    passage: Passage,
    number: int,
    sentences: Sequence[Sentence],
    places: Sequence[int],
    offered: Sequence[OfferedQuote],
) -> Passage:
    """Return the passage `number` with only the quotations of the sentences at `places`, each with its sentence.

    A quotation is shown with the text that says what it is about: the first sentence of its paragraph and the sentence
    before it, or the header and group headings of its table. Other sentences and rows with figures that these sentences
    state are shown as well. The whole passage is returned if the model `offered` no quotation for one of the sentences:
    its quotation is then only the most similar text, and the support may be elsewhere. A sentence with figures may
    share the quotation of another one.
    """
    said = [fold_text(each.text) for each in offered if each.number == number]
    citing = [sentences[place] for place in places if number in sentences[place].citations]
    quotes = [[quote for quote in each.quotes if quote.number == number] for each in citing]
    # guard: evidence-without-quotation
    if not _have_offered_quotes(citing, quotes, said, extract_figures(passage.text)):
        return passage
    quoted = [(quote.start - passage.start, quote.end - passage.start) for found in quotes for quote in found]
    whole = list_quotable_spans(passage)
    spans = [span for each in quoted for span in _list_excerpt_spans(passage, each, whole)]
    # guard: evidence-with-figures
    for each in _iter_spans_with_figures(passage.text, whole, [sentence.text for sentence in citing], spans):
        spans += _list_excerpt_spans(passage, each, whole)
    excerpts = list(_merge_spans(spans))
    pieces = [passage.text[start:end].strip() for start, end in excerpts]
    if not excerpts or len(f" {LEFT_OUT} ".join(pieces)) >= len(passage.text):
        return passage
    text = f"\n{LEFT_OUT}\n".join(pieces)
    before = f"{LEFT_OUT}\n" if passage.text[: excerpts[0][0]].strip() else ""
    after = f"\n{LEFT_OUT}" if passage.text[excerpts[-1][1] :].strip() else ""
    return replace(passage, text=f"{before}{text}{after}", start=passage.start + excerpts[0][0])


def _have_offered_quotes(
    sentences: Sequence[Sentence], quotes: Sequence[Sequence[Quote]], said: Sequence[str], known: frozenset[str]
) -> bool:
    """Return whether each sentence has a quotation that the model gave, and that no earlier sentence has.

    A sentence with figures may have that of an earlier one, because a quotation with its figures, or else one that the
    model gave, is chosen for it. `quotes` are those of each sentence, and `said` the model's in folded form.
    """
    taken: set[str] = set()
    for sentence, of_sentence in zip(sentences, quotes, strict=True):
        shown = {fold_text(each.text) for each in of_sentence}
        offered = {text for text in shown if text and any(each and (each in text or text in each) for each in said)}
        figures = extract_figures(sentence.text)
        # A figure that the passage does not state is calculated from others, which the quotation may lack.
        if not (offered if figures and figures <= known else offered - taken):
            return False
        taken |= offered
    return True


def _iter_spans_with_figures(
    text: str, whole: Sequence[Span], sentences: Iterable[str], shown: Sequence[Span]
) -> Iterator[Span]:
    """Yield the spans of `whole` with figures of the sentences that none of the `shown` spans has."""
    missing = frozenset[str]().union(*map(extract_figures, sentences))
    missing -= frozenset[str]().union(*(extract_figures(text[slice(*each)]) for each in shown))
    yield from (each for each in whole if missing & extract_figures(text[slice(*each)]))


def group_rows(text: str, sentences: Sequence[Sentence], places: Sequence[int]) -> list[list[int]]:
    """Group the `places` of sentences: consecutive rows of one table are a block, and any other sentence is its own."""
    blocks: list[list[int]] = []
    for place in places:
        if blocks and blocks[-1][-1] == place - 1 and _are_rows_of_one_table(text, *sentences[place - 1 : place + 1]):
            blocks[-1].append(place)
        else:
            blocks.append([place])
    return blocks


def _are_rows_of_one_table(text: str, first: Sentence, second: Sentence) -> bool:
    between = text[first.end : second.start]
    return first.text[:1] == second.text[:1] == "|" and not between.strip() and between.count("\n") == 1


def _list_excerpt_spans(passage: Passage, quote: Span, whole: Sequence[Span]) -> list[Span]:
    """Return the spans to show for a quotation: its sentences or rows, and the text that says what they are about."""
    text = passage.text
    start, end = quote
    first = min((begin for begin, close in whole if begin <= start < close), default=start)
    last = max((close for begin, close in whole if begin < end <= close), default=end)
    if last - first > EXCERPT_CHARS:
        room = max(0, EXCERPT_CHARS - (end - start))
        first = max(first, start - room // 2)
        last = min(last, end + room - (start - first))
        while first < start and _is_cut(text, first):
            first += 1
        while last > end and _is_cut(text, last):
            last -= 1
    row = text.rfind("\n", 0, start) + 1
    if text.startswith("|", row):
        label = row, text.find("|", row + 1) + 1  # a long row is cut, and says nothing without its first cell
        cut = [label] if row < first and 0 < label[1] - row <= EXCERPT_CHARS else []
        return [*list_row_context(passage, start, last, whole), *cut, (first, last)]
    context = [] if has_only_table_rows(passage) else list(_iter_paragraph_context(text, first, last, whole))
    spans, room = [(first, last)], EXCERPT_CHARS - (last - first)
    for begin, close in dict.fromkeys(context):
        room -= close - begin + len(f"\n{LEFT_OUT}\n")
        if room >= 0:
            spans.append((begin, close))
    return spans


def _iter_paragraph_context(text: str, first: int, last: int, whole: Sequence[Span]) -> Iterator[Span]:
    """Yield the first sentence of a paragraph, the sentence before the quoted ones, and the one that introduces a list.

    A heading is followed by the sentence or the table's header below it.
    """
    if all(begin >= last or close <= first for begin, close in whole):
        yield from [span for span in whole if span[0] >= last][:1]
    above = [span for span in whole if span[1] <= first]
    inside = [span for span in above if _BLANK_LINE.search(text, span[1], first) is None]
    yield from (*inside[:1], *inside[-1:])
    if not inside and above and text[: above[-1][1]].endswith(":"):
        yield above[-1]


def _is_cut(text: str, at: int) -> bool:
    """Return whether a cut at this position separates the parts of a word, or a word and the punctuation after it."""
    if is_inside_word(text, at):
        return True
    return 0 < at < len(text) and not (text[at].isalnum() or text[at].isspace() or text[at - 1].isspace())


def _merge_spans(spans: Sequence[Span]) -> Iterator[Span]:
    """Yield the spans in order, with overlapping and adjacent ones merged."""
    ordered = sorted(spans)
    if not ordered:
        return
    start, end = ordered[0]
    for first, last in ordered[1:]:
        if first > end + 1:  # a single line break or space may be between two sentences
            yield start, end
            start, end = first, last
        else:
            end = max(end, last)
    yield start, end
