from hypothesis import given
from hypothesis import strategies as st

from ingest.storage.texts.chunks import Chunk
from retrieval.search.expansion import ChunkRange, find_common_headings, merge_ranges, widen_chunk

# Six chunks of ten characters, two under the first heading and four under the second.
CHUNKS = [Chunk(n, n * 10, n * 10 + 10, ("One",) if n < 2 else ("Two",), None) for n in range(6)]


def test_a_chunk_grows_on_both_sides_in_turn() -> None:
    assert widen_chunk(CHUNKS, "v", 3, max_chars=20) == ChunkRange("v", 3, 4)
    assert widen_chunk(CHUNKS, "v", 3, max_chars=30) == ChunkRange("v", 2, 4)


def test_it_stays_below_its_heading() -> None:
    assert widen_chunk(CHUNKS, "v", 1, max_chars=1000) == ChunkRange("v", 0, 1)
    assert widen_chunk(CHUNKS, "v", 2, max_chars=1000) == ChunkRange("v", 2, 5)


def test_a_chunk_that_is_longer_than_the_limit_stays_as_it_is() -> None:
    assert widen_chunk(CHUNKS, "v", 3, max_chars=5) == ChunkRange("v", 3, 3)


def test_stretches_that_meet_become_one_in_the_place_of_the_first() -> None:
    found = merge_ranges([ChunkRange("v", 4, 5), ChunkRange("w", 4, 5), ChunkRange("v", 0, 1), ChunkRange("v", 2, 3)])
    assert found == [(ChunkRange("v", 0, 5), [0, 2, 3]), (ChunkRange("w", 4, 5), [1])]


def test_several_sections_have_the_headings_that_stand_above_all_of_them() -> None:
    paths = [("Report", "Costs"), ("Report", "Costs", "Wages"), ("Report", "Sales", "Wages")]
    chunks = [Chunk(n, n * 10, n * 10 + 10, path, None) for n, path in enumerate(paths)]
    assert find_common_headings(chunks[:1]) == ("Report", "Costs")
    assert find_common_headings(chunks[:2]) == ("Report", "Costs")
    assert find_common_headings(chunks) == ("Report",)
    assert find_common_headings(CHUNKS) == ()


def test_stretches_do_not_meet_over_text_that_is_in_no_chunk() -> None:
    apart = [*CHUNKS[:4], Chunk(4, 5_000, 5_010, ("Two",), None)]
    before, after = (widen_chunk(apart, "v", ordinal, max_chars=100) for ordinal in (3, 4))
    assert (before.last, after.first) == (3, 4)
    assert merge_ranges([before, after]) == [(before, [0]), (after, [1])]


@given(st.lists(st.tuples(st.sampled_from("vw"), st.integers(0, 20), st.integers(0, 4)), max_size=10))
def test_merging_loses_nothing_and_leaves_nothing_that_meets(made: list[tuple[str, int, int]]) -> None:
    stretches = [ChunkRange(version, first, first + length) for version, first, length in made]
    found = merge_ranges(stretches)
    assert sorted(position for _, positions in found for position in positions) == list(range(len(stretches)))
    covered = {(s.version_id, n) for s in stretches for n in range(s.first, s.last + 1)}
    assert {(s.version_id, n) for s, _ in found for n in range(s.first, s.last + 1)} == covered
    assert not any(a.touches(b) for i, (a, _) in enumerate(found) for b, _ in found[:i])
    assert [positions[0] for _, positions in found] == sorted(positions[0] for _, positions in found)
