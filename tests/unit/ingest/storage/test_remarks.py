import copy
import json
import pickle
import re
from string import Formatter

import pytest

from ingest.storage.remarks import REMARKS, Remark, convert_remark_to_json, name_problem


def test_a_remark_is_its_english_sentence_with_its_numbers_formatted() -> None:
    remark = Remark("rows_not_judged", column="late", n=1_200, problem=name_problem("budget_exhausted"))
    assert remark == 'For "late", 1,200 rows were not judged: budget exhausted.'
    assert Remark("records_cited", n=1, records=2_000) == "1 of the 2,000 records behind this answer is cited."
    assert Remark("hours", hours=1.5) == "1.5 h"


def test_a_remark_is_sent_with_its_code_and_values_and_with_the_remarks_within_it() -> None:
    parts = [Remark("calls_of_model", n=500), Remark("minutes", minutes=15)]
    sent = json.loads(json.dumps(convert_remark_to_json(Remark("limits", parts=parts))))
    assert sent["code"] == "limits"
    assert sent["text"] == "At most 500 calls of the language model, 15 min."
    assert [each["code"] for each in sent["values"]["parts"]] == ["calls_of_model", "minutes"]
    assert sent["values"]["parts"][0]["values"] == {"n": 500}


def test_a_text_without_a_code_has_none() -> None:
    assert convert_remark_to_json("The model's own words.") is None


def test_a_remark_keeps_its_code_when_it_is_copied() -> None:
    remark = Remark("run_cells_over", n=3)
    for same in (copy.deepcopy(remark), pickle.loads(pickle.dumps(remark))):
        assert (same, same.code, same.values) == (remark, "run_cells_over", {"n": 3})


def test_a_remark_without_a_code_of_the_list_or_without_its_values_cannot_be_made() -> None:
    with pytest.raises(KeyError):
        Remark("no_such_code")
    with pytest.raises(KeyError):
        Remark("run_cells_over")


@pytest.mark.parametrize("code", REMARKS)
def test_both_forms_of_a_remark_have_the_same_values(code: str) -> None:
    forms = REMARKS[code]
    assert re.fullmatch(r"[a-z_]+", code)
    if not isinstance(forms, str):
        one, many = ({name for _, name, _, _ in Formatter().parse(form) if name} for form in forms)
        assert one == many
        assert "n" in one
