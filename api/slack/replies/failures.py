"""Describes errors for people in Slack. The errors' own messages are written for programs and administrators."""

from api.answers.wording import describe_failure
from api.languages.catalogue import Texts
from ingest.storage.errors import LeadlineError
from ingest.storage.quotas.records import Quota, QuotaExceededError


def describe_error(error: LeadlineError, texts: Texts) -> tuple[str, str]:
    """Return what happened and the next step."""
    if isinstance(error, QuotaExceededError):
        return _describe_quota(error.standing.quota, texts), texts.translate("Your administrator can raise the limit.")
    return describe_failure(error.code, *error.public_message, texts)


def _describe_quota(quota: Quota, texts: Texts) -> str:
    match quota:
        case Quota.TOKENS_PER_DAY | Quota.DOLLARS_PER_DAY:
            return texts.translate("Today’s questions are used up.")
        case Quota.TOKENS_PER_MONTH | Quota.DOLLARS_PER_MONTH:
            return texts.translate("This month’s questions are used up.")
        case Quota.BYTES:
            return texts.translate("The limit for the size of all files is reached.")
    return texts.translate("A limit is reached.")
