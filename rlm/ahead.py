"""Working ahead: what comes next is made while what was made is used."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
_END = object()


def ahead(items: Iterator[Item]) -> Iterator[Item]:
    """The same items in the same order, each made in a thread of its own while its predecessor is in use.

    What making one raises is raised in its place. Once this iterator is closed at most one more is made.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as pool:
        made = pool.submit(next, items, _END)
        while (item := made.result()) is not _END:
            made = pool.submit(next, items, _END)
            yield item  # type: ignore[misc]  # what is not the end is an item
