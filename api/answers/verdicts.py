"""Describes how an answer was checked and what is missing in it, for users of the command line, Slack and exports."""

from collections.abc import Mapping
from typing import Any

from api.languages.catalogue import Texts
from rlm.answers import AnswerStatus
from rlm.checking.levels import Level, build_verdict


def describe_verdict(answer: Mapping[str, Any], texts: Texts) -> str:
    """Describe the checks of an answer in JSON form: "5 of 7 statements proven, 1 not supported".

    The line has no full stop, unless it says that the answer was not checked. It is empty if nothing was stated. For an
    answer that was not found, it has only warnings: a count of proven statements would say the opposite.
    """
    verdict = build_verdict(answer)
    counts = verdict.counts
    if not counts:
        is_computed = answer["table"] is not None and answer["status"] != AnswerStatus.NOT_FOUND
        return texts.translate("Computed from the records") if is_computed else ""
    if not verdict.is_checked:
        return texts.translate(
            "This answer was not checked: no language model compared it with its sources. Open the sources to check."
        )
    parts = {
        Level.PARTLY_PROVEN: texts.translate_count(
            counts[Level.PARTLY_PROVEN], "{n} partly proven", "{n} partly proven"
        ),
        Level.FOUND: texts.translate_count(counts[Level.FOUND], "{n} not checked", "{n} not checked"),
        Level.LOST: texts.translate_count(counts[Level.LOST], "{n} quotation not found", "{n} quotations not found"),
        Level.UNSUPPORTED: texts.translate_count(counts[Level.UNSUPPORTED], "{n} not supported", "{n} not supported"),
        Level.UNCITED: texts.translate_count(counts[Level.UNCITED], "{n} with no source", "{n} with no source"),
    }
    said = [text for level, text in parts.items() if counts[level]]
    if answer["status"] == AnswerStatus.NOT_FOUND:
        return ", ".join(said)
    proven = texts.translate_count(
        counts.total(),
        "{proven} of {n} statement proven",
        "{proven} of {n} statements proven",
        proven=counts[Level.PROVEN],
    )
    return ", ".join([proven, *said])


def describe_level(level: Level, texts: Texts) -> str:
    """Return the name of a level of proof for users, such as "Partly proven"."""
    match level:
        case Level.PROVEN:
            return texts.translate("Proven")
        case Level.PARTLY_PROVEN:
            return texts.translate("Partly proven")
        case Level.FOUND:
            return texts.translate("Not checked")
        case Level.LOST:
            return texts.translate("Quotation not found")
        case Level.UNSUPPORTED:
            return texts.translate("Not supported")
        case Level.UNCITED:
            return texts.translate("No source")


def format_sign(level: Level, texts: Texts) -> str:
    """Return the sign of a level in plain text. Levels whose sign would be a riddle have words in brackets."""
    match level:
        case Level.PROVEN:
            return "✓"
        case Level.PARTLY_PROVEN:
            return "~"
        case Level.UNSUPPORTED:
            return "!"
        case Level.FOUND:
            words = texts.translate("not checked")
        case Level.LOST:
            words = texts.translate("quotation not found")
        case Level.UNCITED:
            words = texts.translate("no source")
    return f"({words})"


def describe_gap(answer: Mapping[str, Any], texts: Texts) -> tuple[str, str]:
    """Return what is missing in an answer in JSON form, as a title and an explanation, or two empty strings."""
    if answer["status"] == AnswerStatus.NOT_FOUND:
        read = answer["searched"]["read"]
        return texts.translate("Not in these documents"), texts.translate_count(
            read,
            "The language model read {n} passage and found no answer in it.",
            "The language model read {n} passages and found no answer in them.",
        )
    if answer["finished"] and answer["status"] != AnswerStatus.PARTIAL:
        return "", ""
    title = texts.translate("Not complete")
    if not answer["finished"]:
        return title, texts.translate(
            "The work reached a limit of time or cost before it was finished. This is what was found until then."
        )
    # Only strategies that work through all of the documents or records count them.
    if answer["coverage"] is not None:
        return title, texts.translate("Some documents or records could not be read, so the answer leaves them out.")
    return title, texts.translate("These documents answer only a part of the question.")
