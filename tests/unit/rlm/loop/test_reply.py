import pytest

from ingest.storage.remarks import Remark
from rlm.loop.prompts import NO_CODE, UNCLOSED, parse_root_reply


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        ("```python\nx = 1\n```", "x = 1\n"),
        ("First I look.\n```repl\nprint(1)\n```\nThen I see.", "print(1)\n"),
        ("~~~py\nx\n~~~", "x\n"),
        ("print(1)\nx = 2", "print(1)\nx = 2"),
        ("submit('a', ['b'])", "submit('a', ['b'])"),
        ("<think>```python\nno()\n```</think>\n```python\nyes()\n```", "yes()\n"),
        ("```json\n{}\n```\n```python\nx = 1\n```", "x = 1\n"),
    ],
)
def test_one_block_or_bare_code_is_run(reply: str, code: str) -> None:
    assert parse_root_reply(reply).code == code
    assert parse_root_reply(reply).note == ""


@pytest.mark.parametrize(
    "reply", ["", "The answer is 42.", "42", "Paris", "```\n```", "<think>on and on", "]]]]{{{", "\x00"]
)
def test_prose_and_nonsense_are_told_how_to_go_on(reply: str) -> None:
    read = parse_root_reply(reply)
    assert read.code is None
    assert read.note == NO_CODE


def test_of_ten_blocks_the_first_is_run_and_the_model_is_told() -> None:
    read = parse_root_reply("\n".join(f"```python\nx = {n}\n```" for n in range(10)))
    assert read.code == "x = 0\n"
    assert "10 code blocks" in read.note


def test_half_a_fence_is_run_as_far_as_it_goes() -> None:
    read = parse_root_reply("So:\n```python\nprint('a')\nprint('b')")
    assert read.code == "print('a')\nprint('b')"
    assert read.note == UNCLOSED


def test_a_fence_inside_a_string_does_not_end_the_block() -> None:
    read = parse_root_reply("```python\nx = 'say ```json'\nprint(x)\n```")
    assert read.code == "x = 'say ```json'\nprint(x)\n"


@pytest.mark.parametrize(
    ("reply", "title"),
    [
        (
            "I look for the headings of **journals**. Then I count.\n```python\nx = 1\n```",
            "I look for the headings of journals.",
        ),
        ("```python\n# Count the journals\nx = 1\n```", "Count the journals"),
        ("# Count the journals\nprint(len(corpus))", "Count the journals"),
        ("## Step 1: read `corpus`\n```python\nx = 1\n```", "Step 1: read corpus"),
        ("I look at these:\n- journals\n```python\nx = 1\n```", "I look at these"),
        ("```python\n\n# Ask who writes\n# each journal. Then count.\nx = 1\n```", "Ask who writes each journal."),
        (f"{'word ' * 60}.\n```python\nx = 1\n```", f"{'word ' * 40}".strip() + "…"),
    ],
)
def test_a_step_has_the_models_first_sentence_or_its_first_comment_as_title(reply: str, title: str) -> None:
    assert parse_root_reply(reply).title == title


@pytest.mark.parametrize(
    ("reply", "title"),
    [
        (
            "```python\nhits = grep('journal')\nsubmit(len(hits))\n```",
            "Writes the answer · Looks for words in the text",
        ),
        ("```python\nfound = search('whale')\n```", "Searches the documents"),
        ("```python\nx.read()\n```", "Runs code"),
        ("I would need to think.", "Replies without code"),
    ],
)
def test_a_step_without_words_of_the_model_says_in_a_coded_text_what_its_tools_do(reply: str, title: str) -> None:
    found = parse_root_reply(reply).title
    assert found == title
    assert isinstance(found, Remark)
