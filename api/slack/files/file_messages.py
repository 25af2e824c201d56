"""Builds the message that reports the progress of files shared in a thread.

File names and reasons come from users and documents, so they are neutralized: Slack cannot interpret them as links,
mentions or channels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from api.answers.mrkdwn import escape_mrkdwn
from api.languages.catalogue import Texts
from api.slack.numbers import format_number
from api.slack.replies.blocks import SECTION_CHARS, Blocks, SlackMessage
from ingest.storage.documents.progress import DocumentProgress
from ingest.storage.documents.records import SEARCHABLE_STATES, Document, VersionState
from ingest.storage.remarks import convert_remark_to_json
from ingest.storage.slack.records import Audience, SharedFile, SharedFileState
from ingest.storage.texts.layout import Omission

# Maximum number of files that the message lists. Further files are only counted.
_MAX_FILES = 20
_NAME_CHARS, _REASON_CHARS = 120, 900
_MAX_OMISSIONS = 3
_STATES_WITH_REASONS = frozenset(
    {SharedFileState.GONE, SharedFileState.REFUSED, SharedFileState.FAILED, SharedFileState.WAITING}
)


@dataclass(frozen=True)
class FileStatus:
    """A file and its document, which is None before the upload and after the document's deletion."""

    file: SharedFile
    document: Document | None = None
    progress: DocumentProgress | None = None


def build_files_message(statuses: Sequence[FileStatus], texts: Texts) -> SlackMessage:
    """Build the reply to a Slack message with files, with the current state of each file."""
    lines = [_format_file_line(each, texts) for each in statuses[:_MAX_FILES]]
    blocks: Blocks = [_build_section(line) for line in lines]
    if more := len(statuses) - len(lines):
        ended = sum(each.file.is_finished for each in statuses[_MAX_FILES:])
        text = texts.translate_count(
            more,
            "And {n} more file. Finished: {finished}.",
            "And {n} more files. Finished: {finished}.",
            finished=ended,
        )
        blocks.append(_build_section(text))
    if notes := _format_access_notes(statuses, texts):
        blocks.append({"type": "context", "elements": [_build_mrkdwn(notes)]})
    return SlackMessage(blocks, "\n".join(lines)[:SECTION_CHARS])


def _format_file_line(status: FileStatus, texts: Texts) -> str:
    file = status.file
    # guard: slack-file-names-inert
    name = escape_mrkdwn(" ".join(file.name.split())[:_NAME_CHARS]) or texts.translate("A file")
    reason = escape_mrkdwn(f"{file.said.detail} {file.said.hint}".strip()[:_REASON_CHARS])
    text = _describe_file(status, name, texts)
    return f"{text} {reason}".strip() if file.state in _STATES_WITH_REASONS else text


def _describe_file(status: FileStatus, name: str, texts: Texts) -> str:
    match status.file.state:
        case SharedFileState.GONE:
            return texts.translate("{name} was deleted in Slack.", name=name)
        case SharedFileState.REFUSED:
            return texts.translate("{name} was not added.", name=name)
        case SharedFileState.FAILED:
            return texts.translate("{name} could not be read.", name=name)
        case SharedFileState.WAITING if status.file.said.detail:
            return texts.translate("{name} is waiting.", name=name)
        case SharedFileState.WAITING:
            return texts.translate("{name} is being downloaded…", name=name)
    if status.document is None:
        return texts.translate("{name} was deleted in Leadline.", name=name)
    if status.file.state is SharedFileState.READY:
        return _describe_ready_file(status.document, name, texts)
    return _describe_progress(status.document, status.progress, name, texts)


def _describe_progress(document: Document, progress: DocumentProgress | None, name: str, texts: Texts) -> str:
    """Describe the current processing step of a document."""
    state = document.version.state
    if state is VersionState.ACCEPTED:
        before = progress.queue_position if progress is not None else None
        if not before:
            return texts.translate("{name} is in the queue…", name=name)
        return texts.translate_count(
            before,
            "{name} is in the queue, behind {n} other…",
            "{name} is in the queue, behind {n} others…",
            n=format_number(before, texts),
            name=name,
        )
    if state is VersionState.PARSING and progress is not None and progress.pages and progress.pages_done:
        done, pages = format_number(progress.pages_done, texts), format_number(progress.pages, texts)
        return texts.translate("{name} is being read, page {done} of {pages}…", done=done, pages=pages, name=name)
    if state is VersionState.PARSING:
        return texts.translate("{name} is being read…", name=name)
    if state in SEARCHABLE_STATES and progress is not None:
        percent = round(100 * progress.fraction)
        return texts.translate("{name} is being indexed, {percent} %…", percent=percent, name=name)
    return texts.translate("{name} is being indexed…", name=name)


def _describe_ready_file(document: Document, name: str, texts: Texts) -> str:
    version = document.version
    collection = escape_mrkdwn(document.collection)
    if version.pages and version.pages > 1:
        pages = format_number(version.pages, texts)
        said = texts.translate(
            "{name} is ready: {pages} pages, in the collection {collection}.",
            pages=pages,
            collection=collection,
            name=name,
        )
    else:
        said = texts.translate("{name} is ready, in the collection {collection}.", collection=collection, name=name)
    if omissions := "; ".join(_describe_omission(each, texts) for each in version.omissions[:_MAX_OMISSIONS]):
        words = escape_mrkdwn(omissions[:_REASON_CHARS])
        said += " " + texts.translate("Content that is not in the text: {omissions}.", omissions=words)
    return said


def _describe_omission(omission: Omission, texts: Texts) -> str:
    counted = texts.translate_remark(convert_remark_to_json(omission.counted), omission.counted)
    parts = [texts.translate_remark(convert_remark_to_json(each), each) for each in omission.remarks]
    detail = "; ".join(parts) or omission.detail
    return f"{counted} ({detail})" if detail else counted


def _format_access_notes(statuses: Sequence[FileStatus], texts: Texts) -> str:
    """Describe who can see the ready files, and how to ask questions about them."""
    ready = [each.file for each in statuses if each.file.state is SharedFileState.READY]
    audiences = {each.audience for each in ready}
    if len(audiences) != 1:
        return ""
    count = len(ready)
    match audiences.pop():
        case Audience.TENANT:
            return texts.translate_count(
                count,
                "Everybody who uses Leadline in your organisation may see this file, because the channel is public. "
                "To ask about it, mention me.",
                "Everybody who uses Leadline in your organisation may see these files, because the channel is public. "
                "To ask about them, mention me.",
            )
        case Audience.CHANNEL:
            return texts.translate_count(
                count,
                "Only members of this channel may see this file. To ask about it, mention me.",
                "Only members of this channel may see these files. To ask about them, mention me.",
            )
        case Audience.SHARER:
            return texts.translate_count(
                count,
                "Only you may see this file. You can ask me about it here.",
                "Only you may see these files. You can ask me about them here.",
            )
    return ""


def _build_section(text: str) -> dict[str, object]:
    return {"type": "section", "text": _build_mrkdwn(text[:SECTION_CHARS]), "expand": True}


def _build_mrkdwn(text: str) -> dict[str, object]:
    return {"type": "mrkdwn", "text": text, "verbatim": True}
