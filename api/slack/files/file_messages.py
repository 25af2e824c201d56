"""Builds the message that reports the progress of files shared in a thread.

File names and reasons come from users and documents, so they are neutralized: Slack cannot interpret them as links,
mentions or channels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from api.answers.rendering import escape_mrkdwn
from api.slack.replies.messages import SECTION_CHARS, Blocks, SlackMessage
from ingest.storage.documents.progress import DocumentProgress
from ingest.storage.documents.records import SEARCHABLE_STATES, Document, VersionState
from ingest.storage.slack.records import Audience, SharedFile, SharedFileState

# Maximum number of files that the message lists. Further files are only counted.
_MAX_FILES = 20
_NAME_CHARS, _REASON_CHARS = 120, 900
_MAX_OMISSIONS = 3
_WHO = {
    Audience.TENANT: "Everybody who uses Leadline here may see it, as the channel is public.",
    Audience.CHANNEL: "Only members of this channel may see it.",
    Audience.SHARER: "Only you may see it.",
}
_HOW_TO_ASK = {
    Audience.TENANT: "Mention me to ask about it.",
    Audience.CHANNEL: "Mention me to ask about it.",
    Audience.SHARER: "Ask me about it here.",
}


@dataclass(frozen=True)
class FileStatus:
    """A file and its document, which is None before the upload and after the document's deletion."""

    file: SharedFile
    document: Document | None = None
    progress: DocumentProgress | None = None


def build_files_message(statuses: Sequence[FileStatus]) -> SlackMessage:
    """Build the reply to a Slack message with files, with the current state of each file."""
    lines = [_format_file_line(each) for each in statuses[:_MAX_FILES]]
    blocks: Blocks = [_build_section(line) for line in lines]
    if more := len(statuses) - len(lines):
        ended = sum(each.file.is_finished for each in statuses[_MAX_FILES:])
        blocks.append(_build_section(f"And {more} more, of which {ended} are done."))
    if notes := _format_access_notes(statuses):
        blocks.append({"type": "context", "elements": [_build_mrkdwn(notes)]})
    return SlackMessage(blocks, "\n".join(lines)[:SECTION_CHARS])


def _format_file_line(status: FileStatus) -> str:
    file = status.file
    # guard: slack-file-names-inert
    name = escape_mrkdwn(" ".join(file.name.split())[:_NAME_CHARS]) or "A file"
    if file.state is SharedFileState.GONE:
        return f"{name} was deleted in Slack. {_format_file_reason(file)}"
    if file.state is SharedFileState.REFUSED:
        return f"{name} was not taken. {_format_file_reason(file)}"
    if file.state is SharedFileState.FAILED:
        return f"{name} could not be read. {_format_file_reason(file)}"
    if file.state is SharedFileState.WAITING:
        return f"{name} waits. {_format_file_reason(file)}" if file.said.detail else f"{name} is being fetched…"
    if status.document is None:
        return f"{name} was deleted here."
    if file.state is SharedFileState.READY:
        collection = escape_mrkdwn(status.document.collection)
        return f"{name} is ready{_format_document_size(status.document)}, in the collection {collection}."
    return f"{name} {_format_document_progress(status.document, status.progress)}…"


def _format_file_reason(file: SharedFile) -> str:
    return escape_mrkdwn(f"{file.said.detail} {file.said.hint}".strip()[:_REASON_CHARS])


def _format_document_progress(document: Document, progress: DocumentProgress | None) -> str:
    """Describe the current processing step of a document."""
    state = document.version.state
    if state is VersionState.ACCEPTED:
        before = progress.queue_position if progress is not None else None
        return f"waits behind {before:,} others" if before else "waits to be read"
    if state is VersionState.PARSING and progress is not None and progress.pages and progress.pages_done:
        return f"is being read, page {progress.pages_done:,} of {progress.pages:,}"
    if state in SEARCHABLE_STATES and progress is not None:
        return f"is being indexed, {round(100 * progress.fraction)} %"
    return "is being read" if state is VersionState.PARSING else "is being indexed"


def _format_document_size(document: Document) -> str:
    version = document.version
    pages = f": {version.pages:,} pages" if version.pages and version.pages > 1 else ""
    left_out = [each.words for each in version.omissions[:_MAX_OMISSIONS]]
    if not left_out:
        return pages
    return f"{pages or ':'}{',' if pages else ''} without {escape_mrkdwn('; '.join(left_out)[:_REASON_CHARS])}"


def _format_access_notes(statuses: Sequence[FileStatus]) -> str:
    """Describe who can see the ready files, and how to ask questions about them."""
    ready = [each.file for each in statuses if each.file.state is SharedFileState.READY]
    audiences = {each.audience for each in ready} & set(_WHO)
    if len(audiences) != 1:
        return ""
    (audience,) = audiences
    text = f"{_WHO[audience]} {_HOW_TO_ASK[audience]}"
    return text if len(ready) == 1 else text.replace(" it", " them")


def _build_section(text: str) -> dict[str, object]:
    return {"type": "section", "text": _build_mrkdwn(text[:SECTION_CHARS]), "expand": True}


def _build_mrkdwn(text: str) -> dict[str, object]:
    return {"type": "mrkdwn", "text": text, "verbatim": True}
