import threading
from collections.abc import Iterator

import pytest

from rlm.ahead import ahead


def test_items_come_in_their_order() -> None:
    assert list(ahead(iter(range(100)))) == list(range(100))
    assert list(ahead(iter([]))) == []


def test_none_is_an_item() -> None:
    assert list(ahead(iter([None, 0, ""]))) == [None, 0, ""]


def test_the_next_is_made_while_one_is_used() -> None:
    made: list[int] = []
    second = threading.Event()

    def items() -> Iterator[int]:
        for number in range(3):
            made.append(number)
            if number == 1:
                second.set()
            yield number

    working = ahead(items())
    assert next(working) == 0
    assert second.wait(30)
    assert made == [0, 1]
    assert list(working) == [1, 2]


def test_an_error_comes_where_its_item_would() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("two")

    working = ahead(items())
    assert next(working) == 1
    with pytest.raises(ValueError, match="two"):
        next(working)


def test_who_stops_early_leaves_no_thread_behind() -> None:
    working = ahead(iter(range(10)))
    assert next(working) == 0
    working.close()  # type: ignore[attr-defined]  # it is a generator
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ahead")]
