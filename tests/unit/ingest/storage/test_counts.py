"""How a count is written in a message."""

import pytest

from ingest.storage.counts import format_count


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 calls"), (1, "1 call"), (2_000, "2,000 calls"), (1.0, "1 call"), (0.5, "0.5 calls")]
)
def test_only_one_is_singular(count: float, said: str) -> None:
    assert format_count(count, "call") == said
