from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx2
import openai
import pytest

from rlm.errors import (
    ContextTooLongError,
    LanguageModelError,
    LanguageModelRefusedError,
    LanguageModelTimeoutError,
    LanguageModelUnavailableError,
)
from rlm.llm.chat_models import translate_error

REQUEST = httpx2.Request("POST", "http://llm/v1/chat/completions")


def vendor_errors() -> list[type[Exception]]:
    # Asking the module's other members for their class would import all that the client can do.
    classes = [each for each in vars(openai).values() if issubclass(type(each), type)]
    found = [each for each in classes if issubclass(each, openai.OpenAIError)]
    return [*found, httpx2.ConnectError, httpx2.ReadTimeout, httpx2.RemoteProtocolError]


@pytest.mark.parametrize("kind", vendor_errors(), ids=lambda kind: kind.__name__)
def test_every_error_of_the_client_becomes_one_of_ours(kind: type[Exception]) -> None:
    error = kind.__new__(kind)
    error.args = ("secret detail",)
    response = httpx2.Response(500, request=REQUEST)
    for name, value in {
        "message": "It broke.",
        "body": None,
        "code": None,
        "request": REQUEST,
        "response": response,
    }.items():
        try:
            setattr(error, name, value)
        except AttributeError:
            continue
    ours = translate_error(error)
    assert isinstance(ours, LanguageModelError)
    assert type(ours) is not LanguageModelError
    assert ours.hint


def refused(status: int, error: dict[str, object]) -> openai.BadRequestError:
    response = httpx2.Response(status, request=REQUEST, json={"error": error})
    return openai.BadRequestError(str(error["message"]), response=response, body=error)


@pytest.mark.parametrize(
    "message",
    [
        "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens.",
        "The decoder prompt (length 5000) is longer than the maximum model length of 4096.",
    ],
)
def test_vllms_words_for_a_prompt_that_is_too_long_are_understood(message: str) -> None:
    ours = translate_error(refused(400, {"message": message, "type": "BadRequestError", "code": 400}))
    assert isinstance(ours, ContextTooLongError)


def test_a_refusal_after_a_stream_began_is_still_a_refusal() -> None:
    body = {"message": "The JSON schema cannot be used.", "code": "language_model_refused"}
    ours = translate_error(openai.APIError("x", request=REQUEST, body=body))
    assert isinstance(ours, LanguageModelRefusedError)
    assert "schema" in ours.detail


@pytest.mark.parametrize(("hours", "least", "most"), [(1, 3_000, 3_600), (-1, 0, 0)])
def test_a_date_says_how_long_to_wait_from_now(hours: int, least: float, most: float) -> None:
    then = format_datetime(datetime.now(UTC) + timedelta(hours=hours), usegmt=True)
    assert least <= _wait_that_was_asked_for(then) <= most


def test_a_number_says_how_many_seconds_to_wait() -> None:
    assert _wait_that_was_asked_for("12") == 12


def _wait_that_was_asked_for(said: str) -> float:
    response = httpx2.Response(503, request=REQUEST, headers={"Retry-After": said})
    ours = translate_error(openai.InternalServerError("Down.", response=response, body=None))
    assert isinstance(ours, LanguageModelUnavailableError)
    assert ours.retry_after_seconds is not None
    return ours.retry_after_seconds


@pytest.mark.parametrize("said", ["", "soon", "nan", "inf"])
def test_a_time_that_makes_no_sense_is_none(said: str) -> None:
    response = httpx2.Response(429, request=REQUEST, headers={"Retry-After": said})
    ours = translate_error(openai.RateLimitError("Busy.", response=response, body=None))
    assert isinstance(ours, LanguageModelUnavailableError)
    assert ours.retry_after_seconds is None


def test_a_server_that_broke_off_had_the_request_and_one_that_nobody_reached_had_not() -> None:
    for cause, reached in ((httpx2.ReadError("reset"), True), (httpx2.ConnectError("refused"), False)):
        error = openai.APIConnectionError(request=httpx2.Request("POST", "http://x"))
        error.__cause__ = cause
        found = translate_error(error)
        assert isinstance(found, LanguageModelUnavailableError)
        assert (found.sent, found.reached, found.silent) == (reached, reached, False)


@pytest.mark.parametrize("cause", [httpx2.ConnectTimeout("no answer"), httpx2.PoolTimeout("no place")])
def test_a_connection_that_does_not_come_about_in_time_has_sent_nothing(cause: httpx2.TimeoutException) -> None:
    error = openai.APITimeoutError(request=REQUEST)
    error.__cause__ = cause
    for found in (translate_error(error), translate_error(cause)):
        assert isinstance(found, LanguageModelUnavailableError)
        assert (found.sent, found.reached, found.silent) == (False, False, True)


def said_by_status(status: int) -> LanguageModelError:
    client = openai.OpenAI(api_key="none", base_url="http://llm/v1", http_client=httpx2.Client())
    with client:
        return translate_error(
            client._make_status_error("No.", body=None, response=httpx2.Response(status, request=REQUEST))
        )


@pytest.mark.parametrize("status", [408, 504])
def test_a_proxy_that_stopped_waiting_does_not_say_that_the_model_has(status: int) -> None:
    assert isinstance(said_by_status(status), LanguageModelTimeoutError)


@pytest.mark.parametrize(
    ("status", "reached"), [(409, False), (425, False), (429, False), (500, False), (502, True), (503, False)]
)
def test_a_server_that_cannot_answer_now_may_be_asked_again(status: int, reached: bool) -> None:
    found = said_by_status(status)
    assert isinstance(found, LanguageModelUnavailableError)
    assert (found.sent, found.reached) == (True, reached)
