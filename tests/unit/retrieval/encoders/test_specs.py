"""Encoders as a setting describes them."""

import pytest

from api.cli.environment import read_settings
from ingest.storage.errors import LeadlineError
from retrieval.encoders.specs import is_encoder_description, parse_spec


def test_a_model_with_all_its_options_is_read() -> None:
    spec = parse_spec(
        "sentence-transformers intfloat/e5-small-v2 query='query: ' document='passage: ' dimension=256 "
        "revision=abc backend=onnx file=onnx/model_O3.onnx device=cuda"
    )
    assert (spec.model, spec.url, spec.query, spec.document) == ("intfloat/e5-small-v2", None, "query: ", "passage: ")
    assert (spec.dimension, spec.revision, spec.backend) == (256, "abc", "onnx")
    assert (spec.file, spec.device) == ("onnx/model_O3.onnx", "cuda")


def test_a_server_is_an_address_and_a_model() -> None:
    spec = parse_spec("http://gpu:8000/v1/ BAAI/bge-m3 dimension=1024")
    assert (spec.url, spec.model, spec.dimension) == ("http://gpu:8000/v1", "BAAI/bge-m3", 1024)
    assert (spec.query, spec.document) == (None, None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sentence-transformers", "must name one model"),
        ("http://gpu/v1 one two", "must name one model"),
        ("http://gpu/v1 one backend=onnx", "cannot be set here"),
        ("sentence-transformers one colour=red", "available options are"),
        ("sentence-transformers one dimension=many", "whole number"),
        ("sentence-transformers one dimension=0", "whole number"),
        ("sentence-transformers one backend=tpu", "torch, onnx, openvino"),
        ("sentence-transformers one query='open", "cannot be parsed"),
    ],
)
def test_what_cannot_be_read_is_refused_in_words_when_the_settings_are_read(
    text: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert is_encoder_description(text)
    with pytest.raises(ValueError, match=said):
        parse_spec(text)
    monkeypatch.setenv("LEADLINE_ENCODER", text)
    with pytest.raises(LeadlineError, match="LEADLINE_ENCODER"):
        read_settings()


def test_a_name_of_leadlines_own_describes_nothing() -> None:
    assert not is_encoder_description("minilm")
    assert not is_encoder_description("minilm-128")
