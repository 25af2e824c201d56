"""Says in the language of a reader what the API says in English: reasons of checks, places and failures.

The portal says the same in `marks.js`, `places.js` and `problem_texts.js`.
"""

import re

from api.languages.catalogue import Texts
from ingest.storage.remarks import convert_remark_to_json
from rlm.checking.checker import ABSENT, COMPUTED_FROM_VALUES, NOT_SAID, QUOTE_NOT_FOUND, SAID_AFTER_ALL, UNCITED
from rlm.checking.levels import ABOUT_ALL, PARTLY_PREFIX

_ROWS = re.compile(r"(.+), (rows? \d.*)", re.DOTALL)
_RANGE = re.compile(r"(page|slide|row)s? (\d+)(?: to (\d+))?")
_NAMED = re.compile(r"(sheet|table) (.+)", re.DOTALL)


def translate_reason(reason: str, texts: Texts) -> str:
    """Translate the reason of a sentence's check. A judge's own words stay as they are."""
    t = texts.translate
    if reason.startswith(ABOUT_ALL):
        return t("This is about all of the documents, and not all of them were read.")
    known = {
        UNCITED: t("No source is given for this sentence."),
        ABSENT: t("No source can show what the documents do not say."),
        QUOTE_NOT_FOUND: t("The words that the model quoted for this sentence are not in the source."),
        COMPUTED_FROM_VALUES: t("Code computed this from values that the language model read in the records."),
        SAID_AFTER_ALL: t("A passage that was read says it after all."),
        NOT_SAID: t("The source does not say this."),
    }
    return known.get(reason) or reason.removeprefix(PARTLY_PREFIX)


def translate_place(place: str, texts: Texts) -> str:
    """Translate a place in a document, such as "page 12" or "sheet Costs, row 3"."""
    if found := _ROWS.fullmatch(place):
        return f"{translate_place(found[1], texts)}, {translate_place(found[2], texts)}"
    t = texts.translate
    if found := _NAMED.fullmatch(place):
        return t("sheet {name}", name=found[2]) if found[1] == "sheet" else t("table {name}", name=found[2])
    found = _RANGE.fullmatch(place)
    if found is None:
        return place
    one = {"page": t("page {n}", n=found[2]), "slide": t("slide {n}", n=found[2]), "row": t("row {n}", n=found[2])}
    if found[3] is None:
        return one[found[1]]
    ends = {"first": found[2], "last": found[3]}
    several = {
        "page": t("pages {first} to {last}", **ends),
        "slide": t("slides {first} to {last}", **ends),
        "row": t("rows {first} to {last}", **ends),
    }
    return several[found[1]]


def describe_failure(code: str, detail: str, hint: str, texts: Texts) -> tuple[str, str]:
    """Return what happened and the next step for a failure. Other codes keep their `detail` and `hint`, translated."""
    match code:
        case "quota_exceeded":
            detail = texts.translate("A limit is reached.")
            hint = texts.translate("Your administrator can raise the limit.")
        case "language_model_unavailable" | "language_model_error":
            detail = texts.translate("The language model is not available at the moment.")
            hint = texts.translate("Ask again in a few minutes. If this continues, tell your administrator.")
        case "language_model_refused":
            detail = texts.translate("The language model rejects all requests.")
            hint = texts.translate("Tell your administrator.")
        case "language_model_timeout":
            detail = texts.translate("The language model did not answer in time.")
            hint = texts.translate("Ask again in a few minutes. If this continues, tell your administrator.")
        case "language_model_output":
            detail = texts.translate("The language model gave an answer that cannot be used.")
            hint = texts.translate("Ask again, or ask more simply.")
        case "context_too_long":
            detail = texts.translate("The question and the texts that it needs are too long for the language model.")
            hint = texts.translate("Ask a narrower question.")
        case "question_too_long":
            detail = texts.translate("The question is too long.")
            hint = texts.translate("Shorten it, or share the long text as a file and ask about the file.")
        case "document_gone":
            detail = texts.translate("A document was deleted or replaced while the answer was being generated.")
            hint = texts.translate("Ask the question again.")
        case _:
            detail, hint = (texts.translate_remark(convert_remark_to_json(each), each) for each in (detail, hint))
    return detail, hint
