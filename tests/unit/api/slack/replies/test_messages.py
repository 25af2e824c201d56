"""Replies in Slack keep Slack's limits, and nothing in them is a link, a mention or a channel that is not ours."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slack_sdk.models.blocks import Block

from api.answers.mrkdwn import escape_markdown, escape_mrkdwn
from api.answers.schemas import AnswerOut
from api.languages.catalogue import Texts
from api.slack.installing import TokenCipher
from api.slack.intake import extract_question
from api.slack.replies.blocks import SECTION_CHARS, split_mrkdwn
from api.slack.replies.messages import MAX_BLOCKS, build_answer_messages, build_failure_message, simplify_message
from ingest.storage.blobs.keyring import generate_key
from ingest.storage.errors import LeadlineError
from rlm.answers import AnswerStatus, Check, Citation, Quote, Sentence, Support, build_answer_json
from tests.fakes.scripted_answers import answer
from tests.support.slack_posts import checked

ENGLISH = Texts("en")
BASE = "https://leadline.example.org"
# Slack refuses the blocks of a message that take so much as JSON: https://github.com/slackapi/bolt-js/issues/2509
REFUSED_CHARS = 13_200


def shown(text: str) -> AnswerOut:
    body = build_answer_json(answer("11111111-1111-1111-1111-111111111111", text=text))
    return AnswerOut.from_body(body, identifier="an id", conversation=None)


def built(**changes: Any) -> AnswerOut:  # noqa: ANN401 - of any member
    return AnswerOut.from_body(build_answer_json(answer("d", **changes)), identifier="an id", conversation=None)


def texts(blocks: Any) -> list[str]:  # noqa: ANN401 - JSON
    if isinstance(blocks, dict):
        own = [blocks["text"]] if isinstance(blocks.get("text"), str) else []
        return own + [each for value in blocks.values() if isinstance(value, dict | list) for each in texts(value)]
    return [each for value in blocks if isinstance(value, dict | list) for each in texts(value)]


@given(st.text(alphabet=st.sampled_from("ab <>@#!|[](){}*_~`.:/\n-1&"), max_size=400))
def test_no_text_is_a_link_a_mention_or_a_channel(text: str) -> None:
    for message in build_answer_messages(shown(f"Words {text} words [1]."), BASE, "question", ENGLISH):
        for each in [message.text, *texts(message.blocks)]:
            for inner in re.findall(r"<([^>]*)", each):
                assert inner.startswith(f"{BASE}/library/"), each
            assert not re.search(r"[@#](?=\S)", re.sub(r"<[^>]*>|`[^`]*`|```.*?```", "", each, flags=re.DOTALL)), each
    assert not re.search(r"<|\]\(|@\S", escape_markdown(f"{text} "))
    assert "<" not in escape_mrkdwn(text)


@given(st.lists(st.text(alphabet="abc \n*`|-", max_size=900), max_size=60))
def test_messages_keep_slacks_limits(paragraphs: list[str]) -> None:
    for message in build_answer_messages(
        shown("\n\n".join([*paragraphs, "The end [1]."])), BASE, "q", ENGLISH, offer_private=True, question="?"
    ):
        assert 0 < len(message.blocks) <= MAX_BLOCKS
        for block in Block.parse_all(message.blocks):
            block.validate_json()
        assert all(len(each["text"]["text"]) <= SECTION_CHARS for each in message.blocks if each["type"] == "section")


def test_a_long_answer_in_any_script_is_parted_into_messages_that_slack_takes() -> None:
    cited = tuple(
        Citation(number, "d", "v", "船" * 200, (), 2, 4, 19, "灯" * 400, True, "頁" * 100) for number in range(1, 31)
    )
    text = "\n\n".join(
        f"段落{number} " + "灯台守はアダであった。" * 20 + f"[{number % 30 + 1}]" for number in range(200)
    )
    body = build_answer_json(answer("d", text=text, citations=cited))
    messages = build_answer_messages(
        AnswerOut.from_body(body, identifier="an id", conversation=None), BASE, "question", ENGLISH
    )
    for message in messages:
        assert len(json.dumps(message.blocks, ensure_ascii=False).encode()) <= REFUSED_CHARS
        plain = simplify_message(message)
        assert len(json.dumps(plain.blocks, ensure_ascii=False).encode()) <= REFUSED_CHARS
        for block in Block.parse_all(plain.blocks):
            block.validate_json()
    whole = "".join(
        each["text"]["text"] for message in messages for each in message.blocks if each["type"] == "section"
    )
    assert [int(each) for each in re.findall(r"段落(\d+)", whole)] == list(range(200))
    assert [[block["type"] for block in each.blocks].count("context_actions") for each in messages[-2:]] == [0, 1]


def test_a_long_text_is_cut_between_paragraphs_and_code_goes_on_as_code() -> None:
    text = "\n\n".join(f"Paragraph {number} " + "words " * 60 for number in range(20))
    assert all(piece.startswith("Paragraph") for piece in split_mrkdwn(text, 1_000))
    code = "```\n" + "\n".join(f"line {number}" for number in range(400)) + "\n```"
    cut = list(split_mrkdwn(code, 1_000))
    assert len(cut) > 3
    assert all(piece.startswith("```\n") and piece.endswith("\n```") for piece in cut)
    assert re.findall(r"\d+", "".join(cut)) == [str(number) for number in range(400)]


@pytest.mark.parametrize(
    ("checks", "said"),
    [
        ([Check.VERIFIED], "1 of 1 statement proven"),
        ([Check.VERIFIED] * 3, "3 of 3 statements proven"),
        ([Check.VERIFIED, Check.VERIFIED, Check.UNSUPPORTED], "2 of 3 statements proven, 1 not supported"),
        ([Check.UNCHECKED, Check.COMPUTED], "1 of 2 statements proven, 1 with no source"),
    ],
)
def test_an_answer_says_how_its_sentences_were_checked(checks: list[Check], said: str) -> None:
    sentences = tuple(Sentence("It was.", 0, 7, (1,), check) for check in checks)
    body = build_answer_json(answer("d", sentences=sentences))
    (message,) = build_answer_messages(
        AnswerOut.from_body(body, identifier="an id", conversation=None), BASE, "question", ENGLISH
    )
    assert said in [
        each["text"] for block in message.blocks if block["type"] == "context" for each in block["elements"]
    ]


def test_headings_and_introductions_are_not_counted_as_statements() -> None:
    lines = ["## Damages", "The contract names one duty:", "- The tenant pays for damage [1]."]
    checks = [Check.UNCHECKED, Check.UNCHECKED, Check.VERIFIED]
    sentences = tuple(
        Sentence(line, 0, len(line), (1,) if check is Check.VERIFIED else (), check)
        for line, check in zip(lines, checks, strict=True)
    )
    (message,) = build_answer_messages(built(sentences=sentences), BASE, "question", ENGLISH)
    assert message.blocks[0]["elements"][0]["text"] == "1 of 1 statement proven"


def test_unsupported_and_partly_proven_sentences_are_listed_with_their_reasons() -> None:
    sentences = (
        Sentence("It **sank** in 1871 [1].", 0, 24, (1,), Check.UNSUPPORTED, "It says 1872.", support=Support.NONE),
        Sentence(
            "| Ada | 26 |", 0, 12, (1,), Check.QUOTED, "Supported in part: No count is named.", support=Support.PARTIAL
        ),
        Sentence("It burned [1].", 0, 14, (1,), Check.QUOTED),
    )
    (message,) = build_answer_messages(built(sentences=sentences), BASE, "question", ENGLISH)
    alerts = [(block["level"], block["text"]["text"]) for block in message.blocks if block["type"] == "alert"]
    assert alerts == [
        (
            "warning",
            "*1 sentence is not supported by its sources:*\n• “It sank in 1871.”: It says 1872.",
        ),
        ("info", "*1 sentence is only partly proven:*\n• “Ada, 26”: No count is named."),
    ]


TABLE = """The fees:

| **Fee** | Amount |
|---|---|
| Late payment | 10 % [1] |
| `a & b` | 5 |

That is all [1]."""


def test_a_table_is_a_table_of_slacks_with_its_citations_as_links() -> None:
    (message,) = build_answer_messages(shown(TABLE), BASE, "question", ENGLISH)
    types = [block["type"] for block in checked(message.blocks)]
    assert types[1:4] == ["section", "table", "section"]
    rows = message.blocks[2]["rows"]
    assert rows[0][0]["elements"][0]["elements"][0] == {"type": "text", "text": "Fee", "style": {"bold": True}}
    amount, link = rows[1][1]["elements"][0]["elements"]
    assert (amount["text"], link["type"], link["text"]) == ("10 % ", "link", "[1]")
    assert link["url"].startswith(f"{BASE}/library/11111111-1111-1111-1111-111111111111?start=")
    assert rows[2] == [{"type": "raw_text", "text": "a & b"}, {"type": "raw_text", "text": "5"}]


def test_where_tables_are_refused_the_citations_are_links_below_the_code() -> None:
    (message,) = build_answer_messages(shown(TABLE), BASE, "question", ENGLISH)
    simple = checked(simplify_message(message).blocks)
    text = next(block["text"]["text"] for block in simple if "Late payment" in str(block))
    assert text.startswith("```\nFee          | Amount\n-------------+---------\nLate payment | 10 % [1]\na &amp; b")
    assert re.search(rf"```\n<{BASE}/library/[0-9a-f-]+\?start=\d+&amp;end=\d+\|\[1\]>$", text)


def test_a_table_that_is_too_large_for_slack_is_one_line_a_row_with_links() -> None:
    rows = "\n".join(f"| Row {number} | {'word ' * 20}[1] |" for number in range(120))
    messages = build_answer_messages(shown(f"| Name | Words |\n|---|---|\n{rows}\n"), BASE, "question", ENGLISH)
    lines = [
        line
        for message in messages
        for block in checked(message.blocks)
        if block["type"] == "section"
        for line in block["text"]["text"].split("\n")
    ]
    assert [line.split(" · ")[0] for line in lines] == [f"• *Name:* Row {number}" for number in range(120)]
    assert all(re.search(rf"\*Words:\* .*<{BASE}/library/[^|]*\|\[1\]>$", line) for line in lines)


def test_each_message_has_one_table_at_most() -> None:
    messages = build_answer_messages(shown(f"{TABLE}\n\n{TABLE}\n\n{TABLE}"), BASE, "question", ENGLISH)
    tables = [[block["type"] for block in checked(message.blocks)].count("table") for message in messages]
    assert tables == [1, 1, 1]


def test_a_notification_is_plain_words_without_marks_of_markdown() -> None:
    text = "## **Damages**\n\n- The _tenant_ pays [1].\n\n| Fee | Amount |\n|---|---|\n| Late | 10 % [1] |\n"
    (message,) = build_answer_messages(shown(text), BASE, "question", ENGLISH)
    assert message.text == "Damages The tenant pays. Fee, Amount; Late, 10 %"


def test_an_answer_is_described_in_german() -> None:
    sentences = (
        Sentence("Es sank 1871 [1].", 0, 17, (1,), Check.VERIFIED),
        Sentence("Es brannte [1].", 0, 15, (1,), Check.UNSUPPORTED, "Es steht dort nicht."),
    )
    (message,) = build_answer_messages(
        built(sentences=sentences), BASE, "question", Texts("de"), offer_private=True, question="Was geschah?"
    )
    words = " ".join(texts(checked(message.blocks)))
    assert "Ihre Frage: Was geschah?" in words
    assert "1 Satz wird von seinen Quellen nicht" in words
    assert "not supported" not in words
    assert "Ask privately" not in words


def test_a_card_shows_what_every_sentence_rests_on() -> None:
    words = "white whale was", "w" * 300, "tame"
    quotes = tuple(Quote(1, at, at + len(each), each) for at, each in enumerate(words))
    sentences = tuple(Sentence("It was [1].", 0, 11, (1,), Check.QUOTED, "", (each,)) for each in quotes)
    body = build_answer_json(answer("d", sentences=sentences))
    (message,) = build_answer_messages(
        AnswerOut.from_body(body, identifier="an id", conversation=None), BASE, "question", ENGLISH
    )
    (card,) = next(block["elements"] for block in message.blocks if block["type"] == "carousel")
    shown = card["body"]["text"]
    assert re.fullmatch("“white whale was” “w{20,}… “tame”", shown)
    assert len(shown) <= 200


def test_an_answer_that_met_a_limit_says_what_to_do() -> None:
    sentence = Sentence("No answer was found.", 0, 20)
    body = build_answer_json(
        answer("d", sentences=(sentence,), citations=(), finished=False, status=AnswerStatus.PARTIAL)
    )
    (message,) = build_answer_messages(
        AnswerOut.from_body(body, identifier="an id", conversation=None), BASE, "question", ENGLISH
    )
    small = [each["text"] for block in message.blocks for each in block.get("elements", ()) if "text" in each]
    assert small == [
        "This answer is incomplete, because a limit of time or cost was reached. "
        "Ask about less, or split the question into several."
    ]


def test_a_cut_tears_no_link() -> None:
    link = f"<{BASE}/library/a?start=1&amp;end=2|[1]>"
    for piece in split_mrkdwn(f"{'x' * 950}{link}{'y' * 100}", 1_000):
        assert piece.count("<") == piece.count(">")


def test_a_failure_says_what_to_do_and_offers_to_go_ahead() -> None:
    message = build_failure_message("It may cost <much> @here.", "Set a budget.", "question", ENGLISH, can_confirm=True)
    assert [block["type"] for block in message.blocks] == ["alert", "context", "actions"]
    assert "&lt;much&gt; ＠here" in message.blocks[0]["text"]["text"]


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("<@U0BOT> who?", "who?"),
        ("who, <@U0BOT>?", "who, ?"),
        ("see <https://a.example/b|the page> &amp; <https://c.example>", "see the page & https://c.example"),
        ("in <#C0ABC|general> <!here> <!subteam^S1|@crew>", "in #general here @crew"),
        ("<mailto:a@b.example|a@b.example> wrote <@U0ANN|ann>", "a@b.example wrote ann"),
    ],
)
def test_a_question_is_what_people_read(text: str, question: str) -> None:
    assert extract_question(text, "U0BOT") == question


def test_a_token_is_opened_by_an_earlier_key_and_by_no_other() -> None:
    old, new = generate_key(), generate_key()
    sealed = TokenCipher(old).encrypt_text("xoxb-1")
    rotated = TokenCipher(f"{new} {old}")
    assert rotated.decrypt_text(sealed) == "xoxb-1"
    assert TokenCipher(new).decrypt_text(rotated.reencrypt_text(sealed)) == "xoxb-1"
    with pytest.raises(LeadlineError, match="not in LEADLINE_SLACK_TOKEN_KEYS"):
        TokenCipher(new).decrypt_text(sealed)
    with pytest.raises(LeadlineError, match="invalid key"):
        TokenCipher("short")
