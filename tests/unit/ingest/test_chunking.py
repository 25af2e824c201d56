import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.chunking import Chunk, chunk_text, context_line
from ingest.layout import Layout, markdown_layout, page_places

LINES = st.sampled_from(
    [
        "# One",
        "## Two ##",
        "###### Six",
        "```",
        "~~~~",
        "| a | b |",
        "- item. Another sentence",
        "",
        " ",
        "word " * 40,
        "x" * 300,
        "Ein Satz. Noch einer! 三つ目。",
        "\u2028 e\u0301 \U0001f600",
        "#not a heading",
        "\t",
    ]
)
TEXTS = st.one_of(
    st.lists(LINES, max_size=40).map("\n".join),
    st.text(max_size=600),
    st.text(alphabet=string.whitespace + "a.", max_size=300),
)


@given(TEXTS, st.booleans(), st.integers(16, 200))
def test_chunks_are_disjoint_ordered_bounded_and_hold_everything_but_white_space(
    text: str, markdown: bool, max_chars: int
) -> None:
    position = 0
    layout = markdown_layout(text) if markdown else Layout()
    for ordinal, chunk in enumerate(chunk_text(text, layout, max_chars=max_chars)):
        assert chunk.ordinal == ordinal
        assert position <= chunk.start < chunk.end <= len(text)
        assert not text[position : chunk.start].strip()
        assert len(text[chunk.start : chunk.end]) <= max_chars
        assert text[chunk.start : chunk.end].strip() == text[chunk.start : chunk.end]
        position = chunk.end
    assert not text[position:].strip()


@given(TEXTS)
def test_the_same_text_gives_the_same_chunks(text: str) -> None:
    assert chunk_text(text, markdown_layout(text)) == chunk_text(text, markdown_layout(text))


def test_a_chunk_carries_the_headings_it_stands_under() -> None:
    text = "# Ships\n\nAbout ships.\n\n## Masts\n\nAbout masts.\n\n## Hulls\n\nAbout hulls.\n\n# Ports\n\nAbout ports."
    paths = {text[c.start : c.end].split()[-1]: c.heading_path for c in chunk_text(text, markdown_layout(text))}
    assert paths == {
        "ships.": ("Ships",),
        "masts.": ("Ships", "Masts"),
        "hulls.": ("Ships", "Hulls"),
        "ports.": ("Ports",),
    }


def test_a_heading_with_nothing_below_it_joins_what_follows() -> None:
    text = "# Title\n\n## Chapter\n\nIt begins."
    (chunk,) = chunk_text(text, markdown_layout(text))
    assert chunk == Chunk(0, 0, len(text), ("Title", "Chapter"), None)


def test_a_number_sign_in_a_code_fence_or_in_plain_text_is_no_heading() -> None:
    fenced = "# Real\n\n```\n# comment\n```\n"
    assert {c.heading_path for c in chunk_text(fenced, markdown_layout(fenced))} == {("Real",)}
    assert {c.heading_path for c in chunk_text("# comment\n", Layout())} == {()}


def test_cuts_fall_between_paragraphs_before_they_fall_inside_one() -> None:
    paragraphs = ["Alpha beta gamma delta. " * 4, "Epsilon zeta eta theta. " * 4, "Iota kappa lambda mu. " * 4]
    text = "\n\n".join(paragraph.strip() for paragraph in paragraphs)
    chunks = [text[c.start : c.end] for c in chunk_text(text, Layout(), max_chars=120)]
    assert chunks == [paragraph.strip() for paragraph in paragraphs]


def test_pages_are_counted_from_one_at_the_chunks_start() -> None:
    text = "first page text\n\n" + "second page text"
    chunks = chunk_text(text, Layout(places=page_places((0, 17))), max_chars=20)
    assert [chunk.page for chunk in chunks] == [1, 2]


def test_a_single_endless_word_is_cut_at_the_limit() -> None:
    chunks = chunk_text("x" * 100, Layout(), max_chars=40)
    assert [(c.start, c.end) for c in chunks] == [(0, 40), (40, 80), (80, 100)]


def test_a_limit_too_small_to_hold_a_word_is_refused() -> None:
    with pytest.raises(ValueError):
        chunk_text("text", Layout(), max_chars=8)


def test_the_context_line_drops_consecutive_repetitions() -> None:
    assert context_line("Emma", ("EMMA", "Volume I", "Chapter I")) == "Emma > Volume I > Chapter I"
    assert context_line(None, ()) == ""
