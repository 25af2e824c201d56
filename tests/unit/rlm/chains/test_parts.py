import pytest

from rlm.chains.parts import parts, things


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        (
            "Which bridge has a woman on a throne and a person asking for alms?",
            ["Which bridge has", " a woman on", " a throne", " and a person asking for alms?"],
        ),
        (
            "Which book is about a church officer who can no longer find what a bride brings?",
            ["Which book is about", " a church officer", " who can no longer find", " what a bride brings?"],
        ),
        ("Which works have something to unlock with?", ["Which works have", " something to unlock with?"]),
        ("Who is Ahab?", ["Who is Ahab?"]),
    ],
)
def test_a_question_is_cut_before_what_it_describes(question: str, expected: list[str]) -> None:
    assert parts(question) == expected
    assert len(parts(f"{question} {'a b ' * 20}")) <= 5


@pytest.mark.parametrize(
    ("description", "expected"),
    [
        (
            "the crossing that is guarded by statues of a woman on a throne and a person asking for alms",
            ["a woman on a throne", "a person asking for alms"],
        ),
        (
            "the play about a man who turns the soil who can no longer find a plough",
            ["a man who turns the soil", "a plough"],
        ),
        ("the play about a baker who can no longer find a cap for a finger", ["a baker", "a cap for a finger"]),
        (
            "the ship whose figurehead is a lynx and carries something that is rung",
            ["a lynx", "something that is rung"],
        ),
        ("the fair that is named after a pot of eel and dried plums", ["a pot of eel", "dried plums"]),
        ("the body in whose crest a farmer's tool stands under a comet", ["a farmer's tool", "a comet"]),
        ("the film in which the actor who played Bond dies", []),
    ],
)
def test_things_are_named_with_what_belongs_to_them(description: str, expected: list[str]) -> None:
    assert things(description) == expected
