"""Checks a source before it is saved or synchronized: opens it, lists some items, and reads the first one."""

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass

from ingest.sources.errors import ItemGoneError, ItemRefusedError, ItemUnchangedError, SourceError
from ingest.sources.packages import report_missing_packages
from ingest.sources.port import Source, SourceItem
from ingest.storage.errors import LeadlineError

_MAX_ITEMS = 5
# A site with a slow page, or a large mailbox, shows its first items within this time.
_MAX_SECONDS = 20.0


@dataclass(frozen=True)
class SourceCheck:
    """The first items of a source. `has_more` says whether there are others.

    `error` is the reason why the source cannot be synchronized or, if it has items, why none of them can be read.
    """

    items: tuple[SourceItem, ...] = ()
    has_more: bool = False
    error: LeadlineError | None = None

    @property
    def is_usable(self) -> bool:
        return self.error is None


def check_source(open_source: Callable[[], Source], *, clock: Callable[[], float] = time.monotonic) -> SourceCheck:
    """List the first items of the source and read the first block of one. Errors of the source are in the result."""
    items: list[SourceItem] = []
    has_more, until = False, clock() + _MAX_SECONDS
    try:
        with report_missing_packages(), closing(open_source()) as source:
            for item in source.list_items():
                if len(items) == _MAX_ITEMS or clock() > until:
                    has_more = True
                    break
                items.append(item)
            _read_one_item(source, items)
    except SourceError as error:
        return SourceCheck(tuple(items), has_more, error)
    return SourceCheck(tuple(items), has_more)


def _read_one_item(source: Source, items: Sequence[SourceItem]) -> None:
    """Read the first block of the first readable item. Raises `ItemRefusedError` if none of them can be read."""
    refusal = None
    for item in items:
        try:
            with source.open_item(item) as opened:
                next(iter(opened.blocks), b"")
            return
        except (ItemGoneError, ItemUnchangedError):
            return  # It was there when it was listed, so others can be read.
        except ItemRefusedError as error:
            refusal = error
    if refusal is not None:
        raise refusal
