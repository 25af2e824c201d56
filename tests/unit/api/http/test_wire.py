"""Wire models, and how they are made from records."""

import json
from collections.abc import Iterator

import pytest

from api.feedback.schemas import FeedbackIn
from api.http.wire import Wire
from api.status.schemas import PartOut
from tests.support.shown_records import RECORDED, SEEDS, make_models


def test_text_that_cannot_be_sent_is_replaced() -> None:
    assert json.loads(PartOut(state="half \ud83d").model_dump_json()) == {"state": "half \ufffd"}


@pytest.mark.parametrize("seed", SEEDS)
def test_models_of_awkward_records_are_sent_as_recorded(seed: str) -> None:
    recorded = json.loads(RECORDED.read_text("utf-8"))[seed]
    assert {name: made.model_dump_json() for name, made in make_models(seed).items()} == recorded


@pytest.mark.parametrize("seed", SEEDS)
def test_clients_read_what_is_sent(seed: str) -> None:
    for made in make_models(seed).values():
        sent = made.model_dump_json()
        assert type(made).model_validate_json(sent, extra="ignore").model_dump_json() == sent


def test_no_attribute_of_a_record_is_mistaken_for_another_member() -> None:
    """Clients read JSON with the same models, which look for a member under its alias first."""
    for model in _models(Wire):
        aliases = {field.validation_alias for field in model.model_fields.values()} - {None}
        assert not aliases & set(model.model_fields), model


def test_a_request_is_not_read_from_attributes() -> None:
    with pytest.raises(ValueError, match="valid dictionary or instance of FeedbackIn"):
        FeedbackIn.model_validate(object())


def _models(model: type[Wire]) -> Iterator[type[Wire]]:
    for each in model.__subclasses__():
        yield each
        yield from _models(each)
