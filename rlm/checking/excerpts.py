"""Selects what a judge reads: the words of a passage on which sentences rest, and the sentences of an answer."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from retrieval.search.requests import Passage
from rlm.answers import OfferedQuote, Quote, Sentence
from rlm.checking.nearest import is_header_row, list_quotable_spans
from rlm.checking.quotes import Span, fold_text, is_inside_word

LEFT_OUT = "[…]"
# Maximum length of a quotation with the text around it. A longer quotation is shown whole, without the text around it.
# Sentences of running text have 100 to 200 characters, so this has room for the quoted sentence and the one before it.
EXCERPT_CHARS = 600


def cut_to_quotes(
    passage: Passage,
    number: int,
    sentences: Sequence[Sentence],
    places: Sequence[int],
    offered: Sequence[OfferedQuote],
) -> Passage:
    """Return the passage `number` with only the quotations of the sentences at `places`, each with its sentence.

    A row of a table is shown with the table's header. The whole passage is returned if the model `offered` no quotation
    for one of the sentences: its quotation is then only the most similar text, and the support may be elsewhere.
    """
    said = [fold_text(each.text) for each in offered if each.number == number]
    citing = [sentences[place] for place in places if number in sentences[place].citations]
    quotes = [[quote for quote in each.quotes if quote.number == number] for each in citing]
    # guard: evidence-without-quotation
    if not _have_own_quotes(quotes, said):
        return passage
    spans = [(quote.start - passage.start, quote.end - passage.start) for found in quotes for quote in found]
    whole = list_quotable_spans(passage)
    excerpts = list(_merge_spans([span for each in spans for span in _list_excerpt_spans(passage.text, each, whole)]))
    pieces = [passage.text[start:end].strip() for start, end in excerpts]
    if not excerpts or len(f" {LEFT_OUT} ".join(pieces)) >= len(passage.text):
        return passage
    text = f"\n{LEFT_OUT}\n".join(pieces)
    before = f"{LEFT_OUT}\n" if excerpts[0][0] > 0 else ""
    after = f"\n{LEFT_OUT}" if excerpts[-1][1] < len(passage.text) else ""
    return replace(passage, text=f"{before}{text}{after}", start=passage.start + excerpts[0][0])


def _have_own_quotes(quotes: Sequence[Sequence[Quote]], said: Sequence[str]) -> bool:
    """Return whether each sentence has a quotation that the model gave, and that no earlier sentence has.

    `quotes` are those of each sentence, and `said` the model's in folded form.
    """
    taken: set[str] = set()
    for of_sentence in quotes:
        shown = {fold_text(each.text) for each in of_sentence}
        own = {text for text in shown - taken if text and any(each and (each in text or text in each) for each in said)}
        if not own:
            return False
        taken |= own
    return True


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


def _list_excerpt_spans(text: str, quote: Span, whole: Sequence[Span]) -> list[Span]:
    """Return the spans to show for a quotation: its sentences with the one before them, and its table's header."""
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
    else:
        before = [begin for begin, close in whole if close <= first]
        if before and last - before[-1] <= EXCERPT_CHARS:
            first = before[-1]
    return [*_list_headers(text, start), (first, last)]


def _is_cut(text: str, at: int) -> bool:
    """Return whether a cut at this position separates the parts of a word, or a word and the punctuation after it."""
    if is_inside_word(text, at):
        return True
    return 0 < at < len(text) and not (text[at].isalnum() or text[at].isspace() or text[at - 1].isspace())


def _list_headers(text: str, at: int) -> list[Span]:
    """Return the span of the header above a table's row, or an empty list if the position is not in a row."""
    first = text.rfind("\n", 0, at) + 1
    while text.startswith("|", first):
        end = text.find("\n", first)
        end = len(text) if end < 0 else end
        if end - first <= EXCERPT_CHARS and is_header_row(text, first, end):
            return [(first, end)]
        if not first:
            break
        first = text.rfind("\n", 0, first - 1) + 1
    return []


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
