"""Answers in HTML and mrkdwn, on request, wherever an answer is shown."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from api.answers.forms import CitedSpan, Form
from api.answers.markdown import render_plain_text
from api.answers.rendering import render_text
from rlm.events import Completed
from tests.fakes.scripted_answers import answer
from tests.support.asking import AskedApi, asked_api
from tests.support.inert import faults_of_html, faults_of_mrkdwn

HOSTILE = "The whale was white [1]. ![x](https://evil.test/?q=1) <img src=x onerror=alert(1)> <!channel>"
ADDRESS = "/v1/documents/d/content?start=4&end=19"
PAGE = "/library/d?start=4&end=19"
PUBLIC = "https://leadline.test"
BOTH = ["html", "mrkdwn"]


@pytest.fixture
def api(tmp_path: Path) -> Iterator[AskedApi]:
    with asked_api(tmp_path) as api:
        made = answer(text=HOSTILE)
        api.services.settings.public_url = PUBLIC
        api.answers.scripts = [[Completed(replace(made, citations=(replace(made.citations[0], title="<b>@here"),)))]]
        yield api


def _assert_inert(shown: dict[str, Any]) -> None:
    assert shown["text"] == HOSTILE
    for part in (shown, *shown["citations"]):
        assert faults_of_html(part["html"], {ADDRESS}) == []
        assert faults_of_mrkdwn(part["mrkdwn"], {PUBLIC + PAGE}) == []
        assert (
            part["html"].count(ADDRESS.replace("&", "&amp;")) == part["mrkdwn"].count(PAGE.replace("&", "&amp;")) == 1
        )


def test_an_answer_comes_in_the_forms_that_are_asked_for(api: AskedApi) -> None:
    _assert_inert(api.ask(render=BOTH))


def test_without_asking_there_is_the_models_own_text_alone(api: AskedApi) -> None:
    shown = api.ask()
    assert (shown["html"], shown["mrkdwn"], shown["citations"][0]["html"]) == (None, None, None)


def test_a_streamed_answer_ends_with_its_forms(api: AskedApi) -> None:
    name, body = api.events(render=BOTH)[-1]
    assert name == "completed"
    _assert_inert(body)


def test_a_kept_answer_and_a_conversation_are_shown_in_the_forms_that_are_asked_for(api: AskedApi) -> None:
    asked = api.ask(conversation="new")
    _assert_inert(api.get(f"/v1/answers/{asked['id']}", render=BOTH))
    (turn,) = api.get(f"/v1/conversations/{asked['conversation']}", render=BOTH)["turns"]
    _assert_inert(turn["answer"])
    api.get(f"/v1/answers/{asked['id']}", status=422, render="pdf")


def test_without_a_public_address_mrkdwn_has_no_links(api: AskedApi) -> None:
    api.services.settings.public_url = None
    assert faults_of_mrkdwn(api.ask(render=["mrkdwn"])["mrkdwn"], ()) == []


def test_citations_of_a_table_are_links_below_its_code_block() -> None:
    cited = {1: CitedSpan("d", 4, 19), 2: CitedSpan("e", 0, 5)}
    text = "| Fee | Amount |\n|---|---|\n| Late [1] | 10 % [2][1] |\n\nThat is all."
    shown = render_text(Form.MRKDWN, text, cited, PUBLIC)
    links = [f"<{PUBLIC}/library/d?start=4&amp;end=19|[1]>", f"<{PUBLIC}/library/e?start=0&amp;end=5|[2]>"]
    assert f"```\n{' '.join(links)}\n\nThat is all." in shown
    assert "<" not in render_text(Form.MRKDWN, text, cited, None)


def test_markdown_is_rendered_as_plain_words() -> None:
    text = "## A *b*\n\n- `c` ~~d~~ [1].\n\n| x | y |\n|---|---|\n| 1 [2] | 2 |\n\n```\ne | f\n```"
    assert render_plain_text(text) == "A b c d. x, y; 1, 2; e | f"
    assert render_plain_text("| Ada **B.** [3] | a \\| b |") == "Ada B., a | b"
