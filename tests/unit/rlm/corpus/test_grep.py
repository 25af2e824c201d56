import re
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm.corpus import grep as module
from rlm.corpus.grep import PatternScan, compile_pattern, count_matches, grep
from rlm.corpus.handles import Handle
from rlm.errors import PatternError, RunCancelledError
from tests.support.corpora import corpus_of

# Longer than a test may take: one that waits for it fails.
FOR_EVER = 3_600.0


@pytest.fixture
def short_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_STEP_SECONDS", 0.05)


@given(st.lists(st.text(alphabet="ab\n ", min_size=1, max_size=80), min_size=1, max_size=3), st.integers(1, 5))
def test_pages_together_are_every_match_in_order(documents: list[str], limit: int) -> None:
    corpus = corpus_of(*documents)
    found: list[tuple[str, int, int]] = []
    cursor: str | None = None
    while True:
        page = grep(corpus, r"a+b?|^b", limit=limit, cursor=cursor)
        found += [(hit.match.version_id, hit.match.start, hit.match.end) for hit in page.hits]
        cursor = page.next_cursor
        if cursor is None:
            break
    expected = [
        (f"v{number}", match.start(), match.end())
        for number, text in enumerate(documents, start=1)
        for match in re.finditer(r"a+b?|^b", text, re.MULTILINE)
    ]
    assert found == expected
    assert count_matches(corpus, r"a+b?|^b").total == len(expected)


def test_matches_are_found_across_the_ends_of_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "".join(f"line {number:05}\n" for number in range(2_000))
    whole = [match.span() for match in re.finditer(r"^line \d+$|(?<=5)\n", text, re.MULTILINE)]
    monkeypatch.setattr(module, "_WINDOW", 97)
    monkeypatch.setattr(module, "_OVERLAP", 16)
    page = grep(corpus_of(text), r"^line \d+$|(?<=5)\n", limit=1_000)
    rest = grep(corpus_of(text), r"^line \d+$|(?<=5)\n", limit=1_000, cursor=page.next_cursor)
    more = grep(corpus_of(text), r"^line \d+$|(?<=5)\n", limit=1_000, cursor=rest.next_cursor)
    hits = [*page.hits, *rest.hits, *more.hits]
    assert [(hit.match.start, hit.match.end) for hit in hits] == whole


def test_a_hit_is_its_line() -> None:
    corpus = corpus_of("one\ntwo\nthree whales here\nfour\nfive")
    (hit,) = grep(corpus, "WHALES", ignore_case=True).hits
    assert (hit.matched, hit.text, hit.title) == ("whales", "three whales here", "Title 1 (1.md)")
    assert corpus.load_text(hit.match) == "whales"
    assert corpus.load_text(hit.line) == "three whales here"


def test_a_long_line_is_shown_around_its_match_only() -> None:
    corpus = corpus_of("x" * 50_000 + "whale" + "y" * 50_000)
    (hit,) = grep(corpus, "whale").hits
    assert corpus.load_text(hit.line) == hit.text
    assert "whale" in hit.text
    assert len(hit.text) == 2_000
    for line in (f"{'x' * 900} whale {'y' * 900}", f"whale {'y' * 1_900}", f"{'x' * 1_900} whale"):
        (hit,) = grep(corpus_of(f"first\n{line}\nlast"), "whale").hits
        assert hit.text == line
    (hit,) = grep(corpus_of(f"{'x' * 5_000}whale"), "whale").hits
    assert hit.text == f"{'x' * 1_995}whale"


@given(st.text(alphabet="ab\n", min_size=1, max_size=60), st.integers(0, 60), st.integers(0, 60), st.integers(1, 3))
def test_spans_are_searched_alone_and_pages_say_what_they_went_through(text: str, a: int, b: int, limit: int) -> None:
    corpus = corpus_of(text, "ab")
    span = corpus.documents[0].handle[min(a, b) : max(a, b)]
    found: list[tuple[int, int]] = []
    searched: list[Handle] = []
    cursor: str | None = None
    while True:
        page = grep(corpus, "a+b?", limit=limit, cursor=cursor, spans=[span])
        found += [(hit.match.start, hit.match.end) for hit in page.hits]
        searched += page.searched
        cursor = page.next_cursor
        if cursor is None:
            break
    within = text[span.start : span.end]
    assert found == [(span.start + m.start(), span.start + m.end()) for m in re.finditer("a+b?", within)]
    assert count_matches(corpus, "a+b?", spans=[span]).total == len(found)
    assert "".join(corpus.load_text(each) for each in searched) == within


def test_a_pattern_that_takes_for_ever_is_stopped() -> None:
    with pytest.raises(PatternError, match="time limit"):
        grep(corpus_of("a" * 5_000 + "!"), r"(a|aa)+$", timeout_seconds=0.2)


@pytest.mark.usefixtures("short_steps")
def test_what_was_found_before_a_search_was_stopped_is_kept_with_a_cursor() -> None:
    corpus = corpus_of("bbb needle", "a" * 5_000 + "!")
    page = grep(corpus, r"needle|(a|aa)+$", timeout_seconds=FOR_EVER)
    assert [hit.matched for hit in page.hits] == ["needle"]
    assert page.next_cursor is not None
    assert not count_matches(corpus, r"needle|(a|aa)+$", timeout_seconds=FOR_EVER).complete


@pytest.mark.parametrize("pattern", ["(", "*", "a{2,1}", r"\p{Nonsense}", "x" * 2_001])
def test_a_pattern_that_cannot_be_read_says_so(pattern: str) -> None:
    with pytest.raises(PatternError):
        grep(corpus_of("abc"), pattern)


@pytest.mark.parametrize("cursor", ["", "7", "a:b", "-1:0", "1:2:3"])
def test_a_made_up_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(PatternError, match="cursor"):
        grep(corpus_of("abc"), "b", cursor=cursor)


def test_a_search_can_be_cancelled() -> None:
    with pytest.raises(RunCancelledError):
        grep(corpus_of("abc"), "b", cancelled=lambda: True)


@pytest.mark.usefixtures("short_steps")
def test_a_search_that_would_take_for_ever_can_be_cancelled_in_its_middle() -> None:
    asked = threading.Event()

    def cancelled() -> bool:
        again = asked.is_set()
        asked.set()
        return again

    with pytest.raises(RunCancelledError):
        count_matches(corpus_of("a" * 5_000 + "!"), r"(a|aa)+$", timeout_seconds=FOR_EVER, cancelled=cancelled)


class Slow:
    """A pattern of which no search ends in its time, and every place is decided at once."""

    def __init__(self, pattern: str) -> None:
        self._compiled = compile_pattern(pattern)

    def search(self, text: str, start: int, **_: object) -> None:
        raise TimeoutError

    def match(self, text: str, place: int, **_: object) -> object:
        return self._compiled.match(text, place)


@pytest.mark.parametrize("pattern", [r"a+b?|^b|(?<=b)c", r"\bcat\b", r"(?=.*!)\d+", r"(?s)b.*?c"])
def test_what_is_searched_place_by_place_is_found_as_it_is_at_once(pattern: str) -> None:
    corpus = corpus_of("aab cat bc 12! catb\nconcat 34\nb 56! abc cat" * 20, "cat 7! bc")
    at_once, slowly = (
        [found.build_hit() for found in PatternScan(corpus, compiled, timeout_seconds=600)]
        for compiled in (compile_pattern(pattern), Slow(pattern))
    )
    assert at_once
    assert slowly == at_once


@pytest.mark.usefixtures("short_steps")
def test_one_place_that_cannot_be_decided_ends_a_search_before_its_time() -> None:
    with pytest.raises(PatternError, match="time limit"):
        grep(corpus_of("a" * 5_000 + "!"), r"(a|aa)+$", timeout_seconds=FOR_EVER)
