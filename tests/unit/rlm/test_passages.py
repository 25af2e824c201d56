"""What a direct answer is read from."""

from dataclasses import replace
from itertools import pairwise

from retrieval.search.requests import Passage
from rlm.corpus.corpus import Corpus
from rlm.passages import (
    WIDENED_CHARS,
    PassageReader,
    can_fit_corpus,
    estimate_passage_tokens,
    interleave_rankings,
    list_whole_passages,
)
from tests.fakes.passages import passage
from tests.support.contexts import corpus_of

BOOK = "# One\n\n" + "The wind rose and the sea grew dark. " * 200 + "\n\n# Two\n\nThey came home.\n"
LONG = "The wind rose and the sea grew dark. " * 2_500


def test_a_whole_scope_is_read_in_order_and_nothing_of_it_is_left_out() -> None:
    corpus = corpus_of({"Book": BOOK, "Note": "Buy bread."})
    passages = list_whole_passages(corpus)
    assert "".join("".join(each.text.split()) for each in passages) == "".join((BOOK + "Buy bread.").split())
    assert all(len(each.text) <= WIDENED_CHARS + 1_000 for each in passages)
    assert all(one.end <= other.start for one, other in pairwise(passages) if one.version_id == other.version_id)
    assert [each.heading_path for each in passages][-2:] == [("Two",), ()]


def test_a_scope_fits_by_its_tokens() -> None:
    corpus = corpus_of({"Book": BOOK})
    assert can_fit_corpus(corpus, 3_000)
    assert not can_fit_corpus(corpus, 1_000)


def found(corpus: Corpus, document: int, *ordinals: int) -> list[Passage]:
    """Chunks of a document of the corpus as hits, best first."""
    of = corpus.documents[document]
    chunks = corpus.load_text_map(of).chunks
    spans = [of.handle[chunks[ordinal].start : chunks[ordinal].end] for ordinal in ordinals]
    return [replace(corpus.load_passage(span), rank=rank, score=1 / rank) for rank, span in enumerate(spans, 1)]


def ranked(*rankings: list[Passage]) -> dict[str, list[Passage]]:
    """Rankings of queries whose words are in no heading."""
    return {f"query {number}": ranking for number, ranking in enumerate(rankings, 1)}


def test_hits_are_read_best_first_until_the_budget_is_full() -> None:
    corpus = corpus_of({"Book": LONG})
    hits = found(corpus, 0, 5, 40, 20, 60, 30)
    read = PassageReader(corpus, 1_000).read_hits(ranked(hits), 1_000, with_context=False)
    assert 2 <= len(read) < len(hits)
    assert {each.start for each in read} == {each.start for each in hits[: len(read)]}
    assert sum(map(estimate_passage_tokens, read)) <= 1_000


def test_the_first_hit_is_read_whatever_the_budget() -> None:
    corpus = corpus_of({"Book": LONG})
    hits = found(corpus, 0, 5, 40)
    assert [each.text for each in PassageReader(corpus, 1).read_hits(ranked(hits), 1, with_context=True)] == [
        hits[0].text
    ]


def test_every_hit_gets_its_part_of_the_text_around_hits() -> None:
    corpus = corpus_of({"Book": LONG})
    hits = found(corpus, 0, 10, 40, 70)
    reader = PassageReader(corpus, 4_000)
    read = reader.read_hits(ranked(hits), 4_000, with_context=True)
    assert [each.rank for each in read] == [1, 2, 3]
    assert all(one.start < hit.start and hit.end < one.end for one, hit in zip(read, hits, strict=True))
    assert 0 <= reader.remaining_tokens == 4_000 - sum(map(estimate_passage_tokens, read))


def test_a_short_document_is_read_whole_across_its_headings() -> None:
    deed = "\n\n".join(f"## Clause {number}\n\nClause {number} says what is to be done." for number in range(9))
    corpus = corpus_of({"Deed": deed, "Book": "\n\n".join(f"## Day {day}\n\n{LONG[:600]}" for day in range(99))})
    reader = PassageReader(corpus, 4_000)
    read = reader.read_hits(ranked([*found(corpus, 0, 4), *found(corpus, 1, 50)]), 4_000, with_context=True)
    assert [each.heading_path for each in read] == [*((f"Clause {number}",) for number in range(9)), ("Day 50",)]
    assert [each.title for each in reader.extent.whole] == ["Deed"]
    assert [each.title for each in reader.extent.part] == ["Book"]


def test_room_that_no_neighbour_needs_is_for_more_hits() -> None:
    corpus = corpus_of({f"Note {number}": f"The wind rose on day {number}. " * 20 for number in range(8)})
    hits = [hit for document in range(8) for hit in found(corpus, document, 0)]
    assert len(PassageReader(corpus, 2_500).read_hits(ranked(hits), 2_500, with_context=True)) == 8


def test_passages_are_ordered_by_their_best_hit_and_adjacent_chunks_by_their_place() -> None:
    corpus = corpus_of({"One": LONG, "Two": LONG})
    read = PassageReader(corpus, 8_000).read_hits(
        ranked(found(corpus, 1, 40, 2), found(corpus, 0, 9), found(corpus, 1, 3)), 3_000, with_context=False
    )
    assert [(each.title, each.rank) for each in read] == [("Two", 1), ("One", 1), ("Two", 1)]
    assert read[2].start == found(corpus, 1, 2)[0].start < read[0].start
    assert read[2].end == found(corpus, 1, 3)[0].end


def test_further_hits_are_listed_and_read_on_request_under_the_same_number() -> None:
    corpus = corpus_of({"Book": LONG})
    reader = PassageReader(corpus, 8_000)
    hits = found(corpus, 0, 5, 40, 20, 60, 30, 80)
    assert len(reader.read_hits(ranked(hits), 400, with_context=False, max_listed=3)) == 1
    assert list(reader.shown) == [1]
    assert {number: each.start for number, each in reader.listed.items()} == {
        number: hit.start for number, hit in zip((2, 3, 4), hits[1:4], strict=True)
    }
    (opened,) = reader.open_passages([3, 99], 1_000)
    assert opened is reader.shown[3]
    assert opened.start < hits[2].start
    assert hits[2].end < opened.end
    assert list(reader.listed) == [2, 4]
    reader.read_hits(ranked(found(corpus, 0, 60, 90)), 700, with_context=False, max_listed=3)
    assert [reader.shown[number].start for number in (4, 5)] == [each.start for each in found(corpus, 0, 60, 90)]
    assert len(reader.passages) == len(reader.shown) == 4


def test_the_text_around_a_passage_is_read_on_request_across_headings() -> None:
    days = "\n\n".join(f"## Day {day}\n\n{LONG[:700]}" for day in range(30))
    corpus = corpus_of({"Log": days})
    reader = PassageReader(corpus, 8_000)
    reader.read_hits(ranked(found(corpus, 0, 10)), 100, with_context=False)
    opened = reader.open_passages([1], 2_000)
    assert sorted(each.heading_path[-1] for each in opened) == ["Day 11", "Day 12", "Day 8", "Day 9"]
    assert list(reader.shown) == [1, 2, 3, 4, 5]


def test_opening_a_kept_passage_shows_the_dropped_ones_beside_it_again() -> None:
    days = "\n\n".join(f"## Day {day}\n\n{LONG[:700]}" for day in range(30))
    corpus = corpus_of({"Log": days})
    reader = PassageReader(corpus, 8_000)
    reader.read_hits(ranked(found(corpus, 0, 10, 11)), 1_000, with_context=False)
    beside = [number for number, each in reader.shown.items() if each.heading_path == ("Day 10",)]
    reader.keep_passages([1])
    reader.open_passages([1], 2_000)
    assert beside
    assert set(beside) <= set(reader.shown)


def test_a_search_that_finds_a_dropped_passage_does_not_read_around_it() -> None:
    corpus = corpus_of({"Book": LONG})
    reader = PassageReader(corpus, 8_000)
    reader.read_hits(ranked(found(corpus, 0, 20)), 400, with_context=False)
    reader.keep_passages([])
    reader.read_hits(ranked(found(corpus, 0, 20, 60)), 2_000, with_context=True, max_listed=3)
    assert 1 in reader.listed
    assert all(each.start > found(corpus, 0, 50)[0].start for each in reader.shown.values())


def test_dropped_passages_are_shown_again_only_as_far_as_they_fit() -> None:
    corpus = corpus_of({"Book": LONG})
    reader = PassageReader(corpus, 1_000)
    for ordinal in (5, 20, 40, 60):
        reader.read_hits(ranked(found(corpus, 0, ordinal)), 400, with_context=False)
        reader.keep_passages([])
    reader.read_hits(ranked(found(corpus, 0, 5, 20, 40, 60)), 0, with_context=False, max_listed=4)
    reader.open_passages(list(reader.listed), 1_000)
    assert 1 <= len(reader.shown) < 4
    assert sum(map(estimate_passage_tokens, reader.shown.values())) <= 1_000


def test_dropped_passages_make_room_and_their_numbers_are_not_used_again() -> None:
    corpus = corpus_of({"Book": LONG})
    reader = PassageReader(corpus, 2_000)
    reader.read_hits(ranked(found(corpus, 0, 5, 20, 40)), 1_500, with_context=False)
    assert list(reader.shown) == [1, 2, 3]
    before = reader.remaining_tokens
    reader.keep_passages([2])
    assert reader.remaining_tokens > before
    reader.read_hits(ranked(found(corpus, 0, 60, 5, 70)), 400, with_context=False, max_listed=2)
    assert list(reader.shown) == [2, 4]
    assert list(reader.listed) == [1, 5], "a dropped passage is listed again if a search finds it"
    assert reader.open_passages([1], 0) == []
    assert list(reader.shown) == [2, 4, 1]
    assert len(reader.passages) == 4


def test_what_was_read_before_is_not_read_again() -> None:
    corpus = corpus_of({"Book": LONG})
    reader = PassageReader(corpus, 8_000)
    reader.read_hits(ranked(found(corpus, 0, 10)), 1_500, with_context=True)
    reader.read_hits(ranked(found(corpus, 0, 10, 12, 14)), 2_000, with_context=True)
    spans = sorted((each.start, each.end) for each in reader.passages)
    assert all(one[1] <= other[0] for one, other in pairwise(spans))
    assert any(each.start <= found(corpus, 0, 14)[0].start < each.end for each in reader.passages)


def test_a_section_that_a_search_asks_for_is_read_whole_if_there_is_room() -> None:
    corpus = corpus_of({"Book": BOOK.replace("# One", "# The storms of May"), "Long": LONG})
    count = len(corpus.load_text_map(corpus.documents[0]).chunks) - 1  # the last one is the second section
    most, half = found(corpus, 0, *range(0, count, 2), 1), found(corpus, 0, *range(1, count, 2))

    def words_read(query: str, hits: list[Passage], room: int) -> int:
        rankings = {query: hits, "wind": found(corpus, 1, 9)}
        read = PassageReader(corpus, room).read_hits(rankings, 800, with_context=True)
        return sum(len(each.text.split()) for each in read if each.title == "Book")

    section = len(BOOK.split("# Two", maxsplit=1)[0].split()) + 3
    assert words_read("Summarise the stormy May.", most, 8_000) == section
    assert words_read("Summarise the stormy May.", most, 1_000) < section, "there is no room"
    assert words_read("Summarise the stormy May.", half[: count // 2], 8_000) < section, "most hits are elsewhere"
    assert words_read("Was there a storm?", most, 8_000) < section, "the search does not name the section"


def test_hits_outside_the_corpus_are_left_out() -> None:
    corpus = corpus_of({"Book": BOOK})
    (hit,) = found(corpus, 0, 1)
    others = [replace(hit, document_id="d9", version_id="v9"), replace(hit, version_id="v9")]
    assert PassageReader(corpus, 8_000).read_hits(ranked(others), 1_000, with_context=True) == []


def test_no_query_takes_the_room_of_another() -> None:
    one, two = [passage(text, document="one") for text in "abc"], [passage("x", document="two")]
    assert [each.text for each in interleave_rankings([one, two])] == ["a", "x", "b", "c"]
    assert list(interleave_rankings([])) == []
