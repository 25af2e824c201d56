"""The built-in token encoder with its real model."""

from pathlib import Path

import numpy as np
import openvino as ov
import pytest

from retrieval.build import require_encoder_files
from retrieval.encoders.openvino_embedder import OpenVinoTokenEncoder, remove_attention_guards
from retrieval.models.store import ModelStore

TEXTS = ["", "the white whale", "the captain of the ship " * 20]


@pytest.fixture(scope="module")
def encoder(encoder_files: Path) -> OpenVinoTokenEncoder:
    return OpenVinoTokenEncoder(*require_encoder_files(ModelStore(encoder_files)))


def test_a_text_has_unit_vectors_for_its_tokens_and_its_two_marks(encoder: OpenVinoTokenEncoder) -> None:
    found = encoder.encode_texts(TEXTS)
    assert [rows.shape for rows in found] == [(2, 384), (5, 384), (102, 384)]
    for rows in found:
        assert np.linalg.norm(rows, axis=1) == pytest.approx(1, abs=0.01)


def test_the_texts_beside_it_change_nothing_of_a_texts_vectors(encoder: OpenVinoTokenEncoder) -> None:
    for text, together in zip(TEXTS, encoder.encode_texts(TEXTS), strict=True):
        (alone,) = encoder.encode_texts([text])
        assert (alone * together).sum(axis=1).min() > 0.99


def test_nothing_stands_between_the_parts_of_attention_that_could_be_fused(encoder_files: Path) -> None:
    model, _ = require_encoder_files(ModelStore(encoder_files))
    graph = ov.Core().read_model(str(model))
    assert "IsNaN" in kinds(graph)
    assert "IsNaN" not in kinds(remove_attention_guards(graph))


def kinds(graph: ov.Model) -> set[str]:
    return {node.get_type_name() for node in ov.Model(graph.get_results(), graph.get_parameters(), "").get_ops()}
