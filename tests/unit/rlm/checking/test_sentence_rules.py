import ast
import re
from pathlib import Path

import pytest

from rlm.checking import markers, sentence_rules
from tests.support.sourced_constants import (
    SourcedConstant,
    assigned_name,
    has_number,
    read_constants,
    top_assignments,
    used_names,
)

_MARKERS = Path(markers.__file__)
_CONSTANTS = read_constants(Path(sentence_rules.__file__))
_SOURCE = re.compile(
    r"(?:Chosen empirically; see commit [0-9a-f]{8}\."
    r"|Measured on \w"
    r"|From Unicode CLDR, locale \w"
    r"|Arithmetic: )[^\n]*"
)


@pytest.mark.parametrize("constant", _CONSTANTS, ids=lambda constant: constant.name)
def test_each_constant_says_what_it_decides_its_unit_and_its_source(constant: SourcedConstant) -> None:
    assert constant.decides
    assert constant.unit
    assert _SOURCE.fullmatch(constant.source), f"{constant.name} has no source: write `# Unit. Source.` behind it"


def test_patterns_of_markers_have_no_number_of_their_own() -> None:
    """Their limits, also those in repetitions, come from the table."""
    own = [assigned_name(each) for each in top_assignments(_MARKERS) if has_number(each) or _has_limit(each)]
    assert own == []


def _has_limit(statement: ast.Assign | ast.AnnAssign) -> bool:
    texts = (node.value for node in ast.walk(statement) if isinstance(node, ast.Constant))
    return any(isinstance(text, str) and re.search(r"\{\d*,\d+\}|\{\d+\}", text) for text in texts)


def test_each_constant_is_used() -> None:
    assert {constant.name for constant in _CONSTANTS} - used_names(_MARKERS) == set()


def test_the_longest_abbreviation_is_found() -> None:
    words = (
        *sentence_rules.TITLE_ABBREVIATIONS,
        *sentence_rules.REFERENCE_ABBREVIATIONS,
        *sentence_rules.QUANTITY_ABBREVIATIONS,
        *sentence_rules.OTHER_ABBREVIATIONS,
    )
    assert [word for word in words if len(markers.list_sentence_spans(f"It was {word}. Nine")) != 1] == []
