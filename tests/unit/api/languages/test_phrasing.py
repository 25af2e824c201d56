import pytest

from api.languages.phrasing import phrase_for_question
from ingest.storage.remarks import Remark


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("Wie hoch ist die Miete?", "Die gelesenen Textstellen beantworten die Frage nicht."),
        ("What is the rent?", "The passages that were read do not answer the question."),
        ("Quel est le loyer de cet appartement ?", "The passages that were read do not answer the question."),
        ("42", "The passages that were read do not answer the question."),
    ],
)
def test_code_answers_in_the_language_of_the_question_if_the_catalogue_has_it(question: str, said: str) -> None:
    assert phrase_for_question(question, Remark("answer_not_in_passages")) == said
