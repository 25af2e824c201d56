"""Every JSON schema that is sent to a model, compiled by the library that vLLM compiles it with.

Importing xgrammar starts `ldconfig`, so these are no unit tests.
"""

import json

import pytest

from tests.unit.rlm.test_schemas import SCHEMAS


@pytest.mark.torch
@pytest.mark.parametrize("name", SCHEMAS)
def test_xgrammar_compiles_each_as_vllm_would(name: str) -> None:
    xgrammar = pytest.importorskip("xgrammar")
    assert str(xgrammar.Grammar.from_json_schema(json.dumps(SCHEMAS[name])))
