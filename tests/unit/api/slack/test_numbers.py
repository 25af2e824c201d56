import pytest

from api.languages.catalogue import Texts
from api.slack.numbers import format_number, format_size


def test_numbers_are_written_as_in_the_language() -> None:
    assert [format_number(12_345, Texts(language)) for language in ("en", "de")] == ["12,345", "12.345"]


@pytest.mark.parametrize(
    ("size", "expected"),
    [(0, "0 bytes"), (1_000, "1.000 bytes"), (1_536, "1,5 KB"), (512 << 20, "512 MB"), (3 << 50, "3.072 TB")],
)
def test_sizes_are_given_in_the_largest_unit(size: int, expected: str) -> None:
    assert format_size(size, Texts("de")) == expected
