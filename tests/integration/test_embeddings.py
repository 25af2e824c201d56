"""Vectors of a running service, by OpenAI's client and LangChain's."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from langchain_openai import OpenAIEmbeddings
from openai import APIStatusError, OpenAI
from pydantic import SecretStr

from api.admission.services import DEFAULT_TENANT
from ingest.storage.accounts.records import Scope
from tests.support.harbour import Harbour, Model, harbour

TEXTS = ["The keeper of the lighthouse", "Copper melts", "The keeper"]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harbour]:
    with harbour(tmp_path_factory.mktemp("home"), Model()) as made:
        yield made


@pytest.fixture
def openai(service: Harbour) -> Iterator[OpenAI]:
    _, reader = service.services.keys.issue_key(DEFAULT_TENANT, "a reader", scopes=[Scope.READ])
    with OpenAI(base_url=f"{service.url}/v1", api_key=reader, max_retries=0) as client:
        yield client


def test_vectors_are_those_of_the_encoder_in_numbers_and_in_base64(openai: OpenAI, service: Harbour) -> None:
    encoder = service.services.asking.open_encoder()
    wanted = encoder.embed_documents(TEXTS)
    plain = openai.embeddings.create(model="leadline", input=TEXTS, encoding_format="float")
    packed = openai.embeddings.create(model="leadline", input=TEXTS, dimensions=encoder.dimension)
    for made in (plain, packed):
        assert [each.index for each in made.data] == [0, 1, 2]
        np.testing.assert_allclose([each.embedding for each in made.data], wanted.vectors, rtol=1e-5)
        assert made.usage.prompt_tokens == wanted.total_tokens
        assert made.model_extra == {"encoder": encoder.fingerprint}
    query: Any = {"input_type": "query"}
    (one,) = openai.embeddings.create(model="leadline", input="The keeper", extra_body=query).data
    np.testing.assert_allclose(one.embedding, encoder.embed_query("The keeper"), rtol=1e-5)


@pytest.mark.parametrize(
    ("fields", "code", "hint"),
    [
        ({"input": TEXTS, "model": "text-embedding-3-small"}, "model_not_found", "leadline"),
        ({"input": TEXTS, "dimensions": 7}, "bad_request", "leave it out"),
        ({"input": []}, "bad_request", "empty"),
        ({"input": ["a", " "]}, "bad_request", "empty"),
        ({"input": [[1, 2], [3]]}, "bad_request", "check_embedding_ctx_length=False"),
        ({"input": [1, 2]}, "bad_request", "check_embedding_ctx_length=False"),
        ({"input": ["a"] * 2_049}, "bad_request", "several requests"),
        (
            {"input": ["灯" * 300_001]},
            "bad_request",
            "about 300,001 tokens. The limits are 2,048 texts and 300,000 tokens",
        ),
    ],
)
def test_requests_that_cannot_be_answered_are_refused_with_the_reason(
    openai: OpenAI, fields: dict[str, Any], code: str, hint: str
) -> None:
    with pytest.raises(APIStatusError) as refused:
        openai.embeddings.create(**{"model": "leadline", **fields})
    assert refused.value.code == code
    assert refused.value.status_code == (404 if code == "model_not_found" else 400)
    assert hint in refused.value.response.text
    assert refused.value.param in fields


def test_as_many_texts_as_openai_allows_are_encoded_at_once(openai: OpenAI, service: Harbour) -> None:
    texts = [f"{number} {'lamp ' * 80}" for number in range(2_048)]  # 840,000 characters, about 242,000 tokens
    made = openai.embeddings.create(model="leadline", input=texts)
    assert [each.index for each in made.data] == list(range(2_048))


def test_a_body_beyond_the_setting_is_refused_with_the_next_step(openai: OpenAI) -> None:
    with pytest.raises(APIStatusError) as refused:
        openai.embeddings.create(model="leadline", input=["lamp " * 300_000])
    assert refused.value.status_code == 413
    assert "LEADLINE_MAX_BODY_BYTES" in refused.value.response.text


def test_langchain_works_with_text(service: Harbour) -> None:
    made = {"model": "leadline", "base_url": f"{service.url}/v1", "api_key": SecretStr(service.key), "max_retries": 0}
    vectors = OpenAIEmbeddings(**made, check_embedding_ctx_length=False).embed_documents(TEXTS)
    np.testing.assert_allclose(
        vectors, service.services.asking.open_encoder().embed_documents(TEXTS).vectors, rtol=1e-5
    )
