"""Describes errors for people in Slack. The errors' own messages are written for programs and administrators."""

from api.languages.catalogue import Texts
from ingest.storage.errors import LeadlineError
from ingest.storage.quotas.records import Quota, QuotaExceededError
from ingest.storage.remarks import convert_remark_to_json


def describe_error(error: LeadlineError, texts: Texts) -> tuple[str, str]:
    """Return what happened and the next step."""
    if isinstance(error, QuotaExceededError):
        return _describe_quota(error.standing.quota, texts), texts.translate("Your administrator can raise the limit.")
    return describe_failure(error.code, *error.public_message, texts)


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
            hint = texts.translate("Ask a narrower question, or try again later.")
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


def _describe_quota(quota: Quota, texts: Texts) -> str:
    match quota:
        case Quota.TOKENS_PER_DAY | Quota.DOLLARS_PER_DAY:
            return texts.translate("Today’s questions are used up.")
        case Quota.TOKENS_PER_MONTH | Quota.DOLLARS_PER_MONTH:
            return texts.translate("This month’s questions are used up.")
        case Quota.BYTES:
            return texts.translate("The limit for the size of all files is reached.")
    return texts.translate("A limit is reached.")
