"""Says what code answers in the language of the question."""

from api.languages.catalogue import Texts
from ingest.storage.remarks import Remark, convert_remark_to_json
from retrieval.index.languages import guess_language_code


def phrase_for_question(question: str, remark: Remark) -> str:
    """Return the remark in the most likely language of the question, or in English if it is not in the catalogue."""
    return Texts(guess_language_code(question)).translate_remark(convert_remark_to_json(remark), str(remark))
