import pytest

from rlm.namesakes import full_name, in_full, of_a_namesake, renamed


@pytest.mark.parametrize(
    ("question", "sentence", "expected"),
    [
        ("Which locker does Rosamund Lockhart use?", "Soap of Crispin Lockhart is kept in 19.", True),
        ("What does Thaddeus Rowntree eat?", "Before sunrise Thaddeus Nightingale eats pumpkin seeds.", True),
        ("Which locker does Rosamund Lockhart use?", "Soap of Rosamund Lockhart is kept in 19.", False),
        ("Which locker does Rosamund Lockhart use?", "Crispin Lockhart, brother of Rosamund Lockhart, has it.", False),
        ("Which locker does Rosamund Lockhart use?", "Lockhart keeps it in 19.", False),
        ("Which locker does Rosamund Lockhart use?", "Miss Lockhart keeps it in 19.", False),
        ("Who is Captain Ahab?", "Ahab is the captain.", False),
        ("Who is Captain Ahab?", "King Ahab was another.", False),
        ("Who is Ahab?", "Jonas Ahab sings.", False),
        ("Who is Ahab?", "", False),
        ("Where did Jane Austen's aunt live?", "Austen lived in Bath.", False),
    ],
)
def test_a_namesake_is_somebody_with_another_part_of_the_name(question: str, sentence: str, expected: bool) -> None:
    assert of_a_namesake(question, sentence) is expected


@pytest.mark.parametrize(
    ("question", "name"),
    [
        ("Which instrument does Mortimer Stanhope play?", "Mortimer Stanhope"),
        ("Did Mortimer Stanhope's teacher play?", "Mortimer Stanhope"),
        ("What did Dr Mortimer Stanhope say?", "Mortimer Stanhope"),
        ("Did Mortimer play?", None),
        ("Did Ada Lind meet Hugo Moss?", None),
        ("What does he play?", None),
    ],
)
def test_the_full_name_of_a_question(question: str, name: str | None) -> None:
    assert full_name(question) == name


@pytest.mark.parametrize(
    ("sentence", "said"),
    [
        ("Hugo Stanhope plays the tuba.", "Ada Stanhope plays the tuba."),
        ("Before noon Hugo Moss's aunt eats.", "Before noon Ada Stanhope's aunt eats."),
        ("After Hugo Moss came Rosa Stanhope.", "After Hugo Moss came Ada Stanhope."),
        ("For once Ada Stanhope agreed.", None),
        ("Stanhope was taught by Hugo Moss.", None),
        ("The miller agreed.", None),
    ],
)
def test_what_is_said_of_somebody_else_with_the_name_that_is_asked_for(sentence: str, said: str | None) -> None:
    assert renamed(sentence, "Ada Stanhope") == said


@pytest.mark.parametrize(
    ("sentence", "whole"),
    [
        pytest.param("Twigg held that it was anthrax.", "Graham Twigg held that it was anthrax.", id="surname"),
        pytest.param("Graham held that.", "Graham Twigg held that.", id="first-name"),
        pytest.param("It was Dr Twigg's.", "It was Dr Graham Twigg's.", id="title"),
        pytest.param("In 1984 Twigg's book came.", "In 1984 Graham Twigg's book came.", id="possessive"),
        pytest.param("Graham Twigg and Twigg.", "Graham Twigg and Twigg.", id="whole-already"),
        pytest.param("Ruth Twigg held it.", "Ruth Twigg held it.", id="a-namesake"),
        pytest.param("Graham Jones held it.", "Graham Jones held it.", id="another-surname"),
        pytest.param("He held it; twigs fell.", "He held it; twigs fell.", id="no-name"),
    ],
)
def test_a_name_in_part_is_written_in_full(sentence: str, whole: str) -> None:
    assert in_full(sentence, "Graham Twigg") == whole
