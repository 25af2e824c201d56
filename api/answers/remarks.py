"""Says the notes of an answer in the language of a reader."""

from itertools import zip_longest

from api.answers.schemas import AnswerOut
from api.languages.catalogue import Texts


def translate_notes(answer: AnswerOut, texts: Texts) -> list[str]:
    """Return the notes of an answer in a language. Notes without a code stay English."""
    coded = [None if each is None else each.model_dump() for each in answer.coded_notes]
    return [texts.translate_remark(remark, text) for text, remark in zip_longest(answer.notes, coded)]
