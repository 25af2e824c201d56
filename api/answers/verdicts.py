"""Describes how an answer was checked, in one line for users of the command line and of Slack."""

from collections.abc import Mapping
from typing import Any

from api.languages.catalogue import Texts
from rlm.answers import AnswerStatus
from rlm.checking.levels import Level, build_verdict


def describe_verdict(answer: Mapping[str, Any], texts: Texts) -> str:
    """Describe the checks of an answer in JSON form: "5 of 7 statements proven, 1 not supported".

    The line has no full stop, unless it says that the answer was not checked. It is empty if nothing was stated, and
    for an answer that was not found: a count of proven statements would say the opposite.
    """
    verdict = build_verdict(answer)
    if not verdict.statements:
        return texts.translate("Computed from the records") if answer["table"] is not None else ""
    if not verdict.is_checked:
        return texts.translate("This answer was not checked: no language model judged it. Open the sources to check.")
    if answer["status"] == AnswerStatus.NOT_FOUND:
        return ""
    parts = [
        texts.translate_count(
            verdict.statements,
            "{proven} of {n} statement proven",
            "{proven} of {n} statements proven",
            proven=verdict.proven,
        )
    ]
    if verdict.partly_proven:
        parts.append(texts.translate_count(verdict.partly_proven, "{n} partly proven", "{n} partly proven"))
    if verdict.found:
        parts.append(texts.translate_count(verdict.found, "{n} found, not checked", "{n} found, not checked"))
    if verdict.unsupported:
        parts.append(texts.translate_count(verdict.unsupported, "{n} not supported", "{n} not supported"))
    if verdict.uncited:
        parts.append(texts.translate_count(verdict.uncited, "{n} without a source", "{n} without a source"))
    return ", ".join(parts)


def describe_level(level: Level, texts: Texts) -> str:
    """Return the name of a level of proof for users, such as "Partly proven"."""
    match level:
        case Level.PROVEN:
            return texts.translate("Proven")
        case Level.PARTLY_PROVEN:
            return texts.translate("Partly proven")
        case Level.FOUND:
            return texts.translate("Found")
        case Level.NOT_PROVEN:
            return texts.translate("Not proven")
