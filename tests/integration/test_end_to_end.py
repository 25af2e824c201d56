"""From an upload to a checked answer with everything real: engine, encoder, parser process, language model."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from api.build.embedded import open_embedded_services
from api.build.language_model import LocalLanguageModel
from api.cli.private_service import open_services_client
from api.client import Client
from api.settings.settings import Settings
from rlm.llm.local.process import LocalModelProcess
from rlm.llm.port import ChatModel
from tests.support.events import streamed_answer

LOG = """# Log of the schooner Margarethe

## Departure

The schooner Margarethe left Bremerhaven on 14 March 1887 under captain Johann Teske, with a crew of eleven.
She carried four hundred barrels of salted herring and a harmonium for the mission at Lomé.

## The storm

On the ninth day the mizzen mast broke in a storm off Cape Finisterre, and the ship's carpenter, Olaf Brandt,
lost two fingers of his left hand while cutting the rigging free.

## Arrival

She reached Lomé on 2 June 1887. The harmonium had been ruined by sea water, and the mission refused to pay for it.
"""
GARDEN = """# Notes on the walled garden

The pear trees on the south wall were planted in 1903 by Miss Agnes Pell. The well is nineteen feet deep and was dug by
her brother. Slugs are the worst enemy of young lettuces; a ring of ash keeps them off.
"""


class Shared:
    """The session's language model, which outlives this service."""

    def __init__(self, process: LocalModelProcess) -> None:
        self._model = LocalLanguageModel(process)

    def get_state(self) -> Mapping[str, Any]:
        return self._model.get_state()

    def acquire(self) -> ChatModel | None:
        return self._model.acquire()

    def close(self) -> None:
        return None


@pytest.fixture(scope="module")
def client(
    tmp_path_factory: pytest.TempPathFactory, encoder_files: Path, local_model: LocalModelProcess
) -> Iterator[Client]:
    settings = Settings(home=tmp_path_factory.mktemp("home"), models=encoder_files, min_free_bytes=0, ballast_bytes=0)
    with (
        open_embedded_services(settings, language_model=Shared(local_model)) as services,
        open_services_client(services) as made,
    ):
        for name, text in (("log.md", LOG), ("garden.md", GARDEN)):
            made.http.post("/v1/documents", params={"name": name}, content=text.encode()).raise_for_status()
        while set(made.get("/v1/status")["documents"]) != {"ready"}:
            time.sleep(0.05)
        yield made


def ask(client: Client, question: str) -> dict[str, Any]:
    answer: dict[str, Any] = client.post("/v1/answers", {"question": question})
    for citation in answer["citations"]:
        span = {"start": citation["start"], "end": citation["end"]}
        text = client.http.get(f"/v1/documents/{citation['document_id']}/content", params=span).text
        assert text == citation["quote"]
    return answer


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Who was the captain of the schooner Margarethe?", "Teske"),
        pytest.param("What keeps slugs off young lettuces?", "ash", marks=pytest.mark.slow),
        pytest.param(
            "Off which cape did the mizzen mast of the Margarethe break?", "Finisterre", marks=pytest.mark.slow
        ),
    ],
)
def test_a_question_gets_its_answer_with_a_quotation_that_stands_in_the_document(
    client: Client, question: str, expected: str
) -> None:
    answer = ask(client, question)
    assert answer["status"] == "answered"
    assert expected.casefold() in answer["text"].casefold()
    (cited,) = answer["citations"]
    assert expected.casefold() in cited["quote"].casefold()
    assert cited["verified"]
    assert [each["check"] for each in answer["sentences"]] == ["quoted"]
    assert answer["usage"]["prompt_tokens"] > 0


@pytest.mark.slow
def test_what_the_documents_do_not_say_is_never_marked_as_verified(client: Client) -> None:
    """A small model answers nevertheless, now and then with a quotation that has nothing to do with the question."""
    answer = ask(client, "What is the boiling point of tungsten in degrees Celsius?")
    assert {each["check"] for each in answer["sentences"]} <= {"quoted", "unchecked"}
    assert answer["searched"]["read"] > 0


@pytest.mark.slow
def test_a_streamed_answer_is_the_same_answer(client: Client) -> None:
    question = "Who planted the pear trees on the south wall?"
    events = streamed_answer(client, question=question)
    names = [name for name, _ in events]
    assert list(dict.fromkeys(names)) == ["routed", "reading", "delta", "completed"]
    streamed = events[-1][1]
    assert "Pell" in streamed["text"]
    assert "".join(data["text"] for name, data in events if name == "delta") == streamed["text"]
    assert streamed["citations"] == ask(client, question)["citations"]
