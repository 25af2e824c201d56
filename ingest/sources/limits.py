"""Limit the content of items while it is read."""

from collections.abc import Iterator

from ingest.sources.errors import ItemRefusedError


def require_item_size(name: str, size_bytes: int | None, max_bytes: int) -> None:
    """Raise `ItemRefusedError` if the announced size of an item is above the limit."""
    if size_bytes is not None and size_bytes > max_bytes:
        raise ItemRefusedError(f"{name} has {size_bytes:,} bytes; at most {max_bytes:,} are read.")


def limit_blocks(name: str, blocks: Iterator[bytes], max_bytes: int) -> Iterator[bytes]:
    """Yield blocks. Raises `ItemRefusedError` at the limit, because the announced size may be wrong."""
    size = 0
    for block in blocks:
        size += len(block)
        if size > max_bytes:
            raise ItemRefusedError(f"{name} has more than {max_bytes:,} bytes, which is the limit.")
        yield block


def changed_while_read(name: str) -> ItemRefusedError:
    """Return the error for an item whose content is a mixture of two versions."""
    return ItemRefusedError(f"{name} changed while it was read.", hint="The next sync reads it again.")
