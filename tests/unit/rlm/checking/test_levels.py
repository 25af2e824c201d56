import json
from pathlib import Path
from typing import Any

import pytest

from api.answers.verdicts import describe_level, describe_verdict
from api.languages.catalogue import Texts
from ingest.storage.answers.redaction import CLOSED_TEXT, WITHHELD_TEXT
from rlm.answers import Support
from rlm.checking.levels import Level, find_levels, infer_support, states_nothing

# The test of `marks.js` has the same cases.
CASES = json.loads((Path(__file__).parent / "levels.json").read_text())


@pytest.mark.parametrize("case", CASES, ids=[each["name"] for each in CASES])
def test_each_statement_has_a_level_and_the_verdict_counts_them(case: dict[str, Any]) -> None:
    assert find_levels(case["answer"]) == case["levels"]
    assert describe_verdict(case["answer"], Texts("en")) == case["verdict"]


@pytest.mark.parametrize("text", [WITHHELD_TEXT, CLOSED_TEXT])
def test_a_withheld_sentence_has_no_level(text: str) -> None:
    sentence: dict[str, Any] = {"text": text, "citations": [], "check": "unchecked", "reason": "", "support": None}
    assert find_levels({"status": "answered", "table": None, "sentences": [sentence]}) == [None]


@pytest.mark.parametrize(
    ("check", "reason", "support"),
    [
        ("verified", "", Support.FULL),
        ("unsupported", "It sank.", Support.NONE),
        ("quoted", "Supported in part: No year is named.", Support.PARTIAL),
        ("quoted", "This is about all of the documents, and not all of them were read.", Support.PARTIAL),
        ("quoted", "The words that the model quoted for this sentence are not in the passage.", None),
        ("quoted", "", None),
        ("computed", "", None),
        ("unchecked", "", None),
    ],
)
def test_support_of_an_answer_of_an_earlier_release_is_inferred_only_where_it_is_certain(
    check: str, reason: str, support: Support | None
) -> None:
    assert infer_support({"check": check, "reason": reason}) is support
    assert infer_support({"check": check, "reason": reason, "support": "full"}) is Support.FULL


@pytest.mark.parametrize(
    ("text", "is_empty"),
    [
        ("# Fees", True),
        ("> ## Fees", True),
        ("**Fees.**", True),
        ("3. **Fees:**", True),
        ("The fees are:", True),
        ("Die Gebühren sind:**", True),
        ("---", True),
        ("$$\na^2 + b^2 = c^2\n$$", True),
        ("**Fees** are due.", False),
        ("The ratio is 3:1", False),
        ("The letter is: 𝔚", False),
        ("The rates are: [1]", False),
        ("42", False),
    ],
)
def test_headings_and_introductions_state_nothing(text: str, is_empty: bool) -> None:
    assert states_nothing(text) is is_empty


def test_levels_have_names_for_users() -> None:
    assert [describe_level(each, Texts("en")) for each in Level] == [
        "Proven",
        "Partly proven",
        "Not checked",
        "Quotation not found",
        "Not supported",
        "No source",
    ]
