"""Says in a thread what becomes of the files that were shared there: one message, which changes until they have ended.

Names and reasons come from people and documents, so nothing of them becomes a link, a mention or a channel.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from api.answers.rendering import inert_mrkdwn
from api.slack.replies.messages import SECTION_CHARS, Blocks, Message
from ingest.storage.documents.progress import Progress
from ingest.storage.documents.records import SEARCHABLE_STATES, Document, VersionState
from ingest.storage.slack.records import Audience, FileState, SharedFile

# Files beyond these are counted in one line; every file is taken.
_FILES_SHOWN = 20
_NAME_CHARS, _REASON_CHARS = 120, 900
_OMISSIONS = 3
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
class Seen:
    """Pairs a file with its document, which is None before the file is taken and after the document's deletion."""

    file: SharedFile
    document: Document | None = None
    progress: Progress | None = None


def files_message(seen: Sequence[Seen]) -> Message:
    """Return the message about the files of one message, as they are now."""
    lines = [_line(each) for each in seen[:_FILES_SHOWN]]
    blocks: Blocks = [_section(line) for line in lines]
    if more := len(seen) - len(lines):
        ended = sum(each.file.has_ended for each in seen[_FILES_SHOWN:])
        blocks.append(_section(f"And {more} more, of which {ended} are done."))
    if notes := _notes(seen):
        blocks.append({"type": "context", "elements": [_mrkdwn(notes)]})
    return Message(blocks, "\n".join(lines)[:SECTION_CHARS])


def _line(seen: Seen) -> str:
    file = seen.file
    # guard: slack-file-names-inert
    name = inert_mrkdwn(" ".join(file.name.split())[:_NAME_CHARS]) or "A file"
    if file.state is FileState.GONE:
        return f"{name} was deleted in Slack. {_reason(file)}"
    if file.state is FileState.REFUSED:
        return f"{name} was not taken. {_reason(file)}"
    if file.state is FileState.FAILED:
        return f"{name} could not be read. {_reason(file)}"
    if file.state is FileState.WAITING:
        return f"{name} waits. {_reason(file)}" if file.said.detail else f"{name} is being fetched…"
    if seen.document is None:
        return f"{name} was deleted here."
    if file.state is FileState.READY:
        return f"{name} is ready{_size(seen.document)}, in the collection {inert_mrkdwn(seen.document.collection)}."
    return f"{name} {_under_way(seen.document, seen.progress)}…"


def _reason(file: SharedFile) -> str:
    return inert_mrkdwn(f"{file.said.detail} {file.said.hint}".strip()[:_REASON_CHARS])


def _under_way(document: Document, progress: Progress | None) -> str:
    """Return what is being done with a document, in words that change as it goes on."""
    state = document.version.state
    if state is VersionState.ACCEPTED:
        before = progress.queue_position if progress is not None else None
        return f"waits behind {before:,} others" if before else "waits to be read"
    if state is VersionState.PARSING and progress is not None and progress.pages and progress.pages_done:
        return f"is being read, page {progress.pages_done:,} of {progress.pages:,}"
    if state in SEARCHABLE_STATES and progress is not None:
        return f"is being indexed, {round(100 * progress.fraction)} %"
    return "is being read" if state is VersionState.PARSING else "is being indexed"


def _size(document: Document) -> str:
    version = document.version
    pages = f": {version.pages:,} pages" if version.pages and version.pages > 1 else ""
    left_out = [each.words for each in version.omissions[:_OMISSIONS]]
    if not left_out:
        return pages
    return f"{pages or ':'}{',' if pages else ''} without {inert_mrkdwn('; '.join(left_out)[:_REASON_CHARS])}"


def _notes(seen: Sequence[Seen]) -> str:
    """Return who may see the files that are ready, and how to ask about them."""
    ready = [each.file for each in seen if each.file.state is FileState.READY]
    audiences = {each.audience for each in ready} & set(_WHO)
    if len(audiences) != 1:
        return ""
    (audience,) = audiences
    said = f"{_WHO[audience]} {_HOW_TO_ASK[audience]}"
    return said if len(ready) == 1 else said.replace(" it", " them")


def _section(text: str) -> dict[str, object]:
    return {"type": "section", "text": _mrkdwn(text[:SECTION_CHARS]), "expand": True}


def _mrkdwn(text: str) -> dict[str, object]:
    return {"type": "mrkdwn", "text": text, "verbatim": True}
