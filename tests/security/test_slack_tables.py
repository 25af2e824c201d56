"""Tables in Slack hold no link, mention or channel that is not ours, in any of the three ways they are shown."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.answers.forms import CitedSpan
from api.answers.mrkdwn import render_mrkdwn_parts, render_table_rows
from api.slack.replies.tables import build_table_block, format_simple_table
from tests.security.injections import PAYLOADS
from tests.support.inert import faults_of_mrkdwn

BASE = "https://leadline.test"
CITED = {1: CitedSpan("4f1c", 3, 90)}
OURS = {BASE + CITED[1].page_path}


def faults(cell: str) -> list[str]:
    """What is not inert in a table with this text in a cell, beside a citation and alone."""
    text = f"| a | b | c |\n|---|---|---|\n| {cell} [1] | {cell} | **{cell}** |\n"
    found: list[str] = []
    for part in render_mrkdwn_parts(text, CITED, BASE):
        if isinstance(part, str):
            found += faults_of_mrkdwn(part, OURS)
            continue
        found += faults_of_mrkdwn(render_table_rows(part), OURS)
        block = build_table_block(part)
        if block is not None:
            found += faults_of_mrkdwn(format_simple_table(block), OURS)
            for element in elements(block):
                if "url" in element:
                    found += [] if element["url"] in OURS else [f"link to {element['url']}"]
                else:  # Text of cells is no mrkdwn: entities are not read there.
                    found += faults_of_mrkdwn(element["text"].replace("&", "&amp;").replace(">", "&gt;"), ())
    return found


def elements(value: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - JSON
    """Every element of a block with a text of its own."""
    if isinstance(value, dict):
        if isinstance(value.get("text"), str):
            yield value
        for each in value.values():
            yield from elements(each)
    elif isinstance(value, list):
        for each in value:
            yield from elements(each)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_injection_comes_through_a_table(payload: str) -> None:
    assert faults(payload) == []


@given(st.text(st.sampled_from("<>&[]()!`*_~#@:/.\\ -1a\u202e") | st.characters(), max_size=60))
def test_any_text_in_a_table_is_nothing_but_text(text: str) -> None:
    assert faults(text) == []
