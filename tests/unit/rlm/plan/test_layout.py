import pytest

from rlm.corpus.records import Records, SplitBy, Splitting
from rlm.plan.layout import Layout

LAYOUT = Layout(Records((), Splitting(SplitBy.LINE)), ("ID", "User", "Order Number", ""))


@pytest.mark.parametrize(
    ("word", "column"),
    [
        ("users", "User"),
        ("the user IDs", "User"),
        ("USER", "User"),
        ("orders", "Order Number"),
        ("id", "ID"),
        ("the IDs", "ID"),
        ("number", None),
        ("", None),
        ("the", None),
    ],
)
def test_words_mean_columns_and_no_word_means_none(word: str, column: str | None) -> None:
    assert LAYOUT.column(word) == column
