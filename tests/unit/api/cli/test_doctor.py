"""What `leadline doctor` says of the model in use."""

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import NoReturn

import httpx
import pytest

from api.cli.doctor import _check_permissions, describe_index_state, describe_profile, is_leadline_service
from api.settings.settings import Settings
from ingest.storage.generations.records import IndexState
from rlm.llm.budgets import FREE, Price
from rlm.llm.profiles import LOCAL_QWEN, Profiles


def test_what_a_model_is_given_to_do_is_said() -> None:
    said = describe_profile(Profiles().get_profile("some/model"))
    assert said.startswith("some/model: writes code, routes, judges; context window 32,768 tokens, ")
    assert said.endswith("; price unknown")
    assert "answers from passages only" in describe_profile(LOCAL_QWEN)


@pytest.mark.parametrize(
    ("price", "said"),
    [
        (FREE, "free"),
        (Price(Decimal("0.00"), Decimal(0)), "free"),
        (Price(Decimal("0.15"), Decimal(1)), "$0.15 per million tokens read, $1 per million written"),
        (Price(Decimal("1E+1"), Decimal("1E-2")), "$10 per million tokens read, $0.01 per million written"),
    ],
)
def test_a_price_is_a_number_or_said_to_be_none(price: Price, said: str) -> None:
    assert describe_profile(replace(LOCAL_QWEN, price=price)).endswith(f"; {said}")


def test_a_data_folder_that_is_not_there_yet_has_no_permissions(tmp_path: Path) -> None:
    assert list(_check_permissions(Settings(home=tmp_path / "home", models=tmp_path, llm="none"))) == []


def test_the_last_comparison_of_the_index_says_when_it_was_made() -> None:
    noon = datetime(2026, 11, 30, 12, 5).timestamp()
    assert describe_index_state(IndexState(1)) == "generation 1: nothing to compare yet"
    assert describe_index_state(IndexState(1, checked_at=noon)) == (
        "generation 1: no searchable documents (compared at 12:05)"
    )
    assert describe_index_state(IndexState(1, checked_at=noon, versions=7, missing=1, requeued=1)) == (
        "generation 1: all but 1 of 7 documents (compared at 12:05); 1 were missing and have been reindexed"
    )


@pytest.mark.parametrize(
    ("response", "is_service"),
    [
        (httpx.Response(200, json={"status": "alive"}), True),
        (httpx.Response(200, json={"status": "pass"}), False),
        (httpx.Response(200, text="alive"), False),
        (httpx.Response(503, json={"status": "alive"}), False),
        (httpx.Response(404), False),
    ],
)
def test_a_service_is_recognized_by_its_health_route(response: httpx.Response, is_service: bool) -> None:
    transport = httpx.MockTransport(lambda request: response if request.url.path == "/health/live" else _refuse())
    with httpx.Client(base_url="http://127.0.0.1:8000", transport=transport) as client:
        assert is_leadline_service(client) == is_service


def test_a_program_that_does_not_speak_http_is_no_service() -> None:
    with httpx.Client(base_url="http://127.0.0.1:8000", transport=httpx.MockTransport(lambda _: _refuse())) as client:
        assert not is_leadline_service(client)


def _refuse() -> NoReturn:
    raise httpx.RemoteProtocolError("Server disconnected without sending a response.")
