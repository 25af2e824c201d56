import pytest

from rlm.namesakes import of_a_namesake


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
