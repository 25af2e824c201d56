import gc

from api.cli.serving import startup_kept


def test_what_was_made_before_is_left_out_of_collections_until_the_end() -> None:
    before = [object(), {}]
    with startup_kept():
        inside: list[object] = [{}]
        visited = {id(each) for each in gc.get_objects()}
        assert id(before) not in visited
        assert id(inside) in visited
    assert id(before) in {id(each) for each in gc.get_objects()}


def test_it_ends_with_the_block_even_if_that_fails() -> None:
    try:
        with startup_kept():
            raise KeyError("inside")
    except KeyError:
        pass
    assert gc.get_freeze_count() == 0
