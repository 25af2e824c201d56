import re
from pathlib import Path

import pypdfium2.raw as raw
import pytest

import ingest.parsing.pdf
from ingest.parsing.pdf import constants
from tests.support.sourced_constants import (
    SourcedConstant,
    assigned_name,
    has_number,
    read_constants,
    top_assignments,
    used_names,
)

_FOLDER = Path(ingest.parsing.pdf.__file__).parent
_TABLE = _FOLDER / "constants.py"
_OTHERS = [module for module in sorted(_FOLDER.glob("*.py")) if module != _TABLE]
_CONSTANTS = read_constants(_TABLE)
_SOURCE = re.compile(
    r"(?:Chosen empirically; see commit [0-9a-f]{8}\."
    r"|Measured on \w"
    r"|See (?:ISO(?:/IEC)? \d|Unicode|OpenType|CommonMark \d|Adobe|PDFium, \w+\.(?:h|cpp))"
    r"|(?:Arithmetic|Definition)\b)[^\n]*"
)


@pytest.mark.parametrize("constant", _CONSTANTS, ids=lambda constant: constant.name)
def test_each_constant_says_what_it_decides_its_unit_and_its_source(constant: SourcedConstant) -> None:
    assert constant.decides.endswith(".")
    assert constant.unit
    assert _SOURCE.fullmatch(constant.source), f"{constant.name} has no source: write `# Unit. Source.` behind it"


@pytest.mark.parametrize("module", _OTHERS, ids=lambda module: module.name)
def test_no_other_module_of_pdf_defines_a_numeric_constant(module: Path) -> None:
    assert [assigned_name(each) for each in top_assignments(module) if has_number(each)] == []


def test_each_constant_is_used() -> None:
    used = set[str]().union(*map(used_names, _OTHERS))
    assert [constant.name for constant in _CONSTANTS if constant.name not in used] == []


def test_codes_of_pdfium_are_those_of_the_installed_library() -> None:
    assert {raw.FPDF_ERR_PASSWORD, raw.FPDF_ERR_SECURITY} == constants.PDFIUM_PASSWORD_ERRORS
    assert constants.PDFIUM_PATH_OBJECT == raw.FPDF_PAGEOBJ_PATH
    assert constants.PDFIUM_IMAGE_OBJECT == raw.FPDF_PAGEOBJ_IMAGE
    assert constants.PDFIUM_SHADING_OBJECT == raw.FPDF_PAGEOBJ_SHADING
    assert constants.PDFIUM_FORM_OBJECT == raw.FPDF_PAGEOBJ_FORM
    assert constants.PDFIUM_LINE_SEGMENT == raw.FPDF_SEGMENT_LINETO
    assert constants.PDFIUM_MOVE_SEGMENT == raw.FPDF_SEGMENT_MOVETO
    assert constants.ANNOTATION_HIDDEN_FLAGS == raw.FPDF_ANNOT_FLAG_HIDDEN | raw.FPDF_ANNOT_FLAG_NOVIEW
    assert constants.INVISIBLE_RENDERING_MODES == (raw.FPDF_TEXTRENDERMODE_INVISIBLE, raw.FPDF_TEXTRENDERMODE_CLIP)
