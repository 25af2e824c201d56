import gc
from collections.abc import Iterator

import pytest

from api.cli.serving import exclude_startup_from_gc


@pytest.fixture(autouse=True)
def nothing_left_out_yet() -> Iterator[None]:
    """The suite itself leaves modules and tests out of collections; none comes by itself meanwhile."""
    gc.disable()
    gc.unfreeze()
    yield
    gc.freeze()
    gc.enable()


def test_what_was_made_before_is_left_out_of_collections_until_the_end() -> None:
    before = [object(), {}]
    with exclude_startup_from_gc():
        inside: list[object] = [{}]
        visited = {id(each) for each in gc.get_objects()}
        assert id(before) not in visited
        assert id(inside) in visited
    assert id(before) in {id(each) for each in gc.get_objects()}


def test_it_ends_with_the_block_even_if_that_fails() -> None:
    try:
        with exclude_startup_from_gc():
            raise KeyError("inside")
    except KeyError:
        pass
    assert gc.get_freeze_count() == 0


def test_a_service_for_one_command_leaves_out_what_its_caller_had_left_out_and_collects_nothing() -> None:
    gc.freeze()
    collected = gc.get_stats()[2]["collections"]
    with exclude_startup_from_gc(collect_first=False):
        assert gc.get_stats()[2]["collections"] == collected
    assert gc.get_freeze_count() > 0
