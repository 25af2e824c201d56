import asyncio
from collections.abc import AsyncIterator

import pytest

from rlm.llm.completion import close_generators, track_generators


class Source:
    """Refers to its generator, which refers to it: only the garbage collector would find the two."""

    def __init__(self, closed: list[str]) -> None:
        self._closed = closed
        self.inner = self._pieces()

    async def _pieces(self) -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            await asyncio.sleep(0)
            self._closed.append("inner")

    async def pieces(self) -> AsyncIterator[int]:
        try:
            async for piece in self.inner:
                yield piece
        finally:
            self._closed.append("outer")


async def break_off(source: Source) -> None:
    async with close_generators():
        async for piece in source.pieces():
            assert piece / 0


def test_what_a_block_that_fails_has_begun_is_closed_at_its_end_from_the_outside_in() -> None:
    async def read() -> None:
        track_generators()
        closed: list[str] = []
        source, before = Source(closed), Source([])
        await anext(before.inner)
        with pytest.raises(ZeroDivisionError):
            await break_off(source)
        assert closed == ["outer", "inner"]
        assert [piece async for piece in before.inner] == [2]

    asyncio.run(read())
