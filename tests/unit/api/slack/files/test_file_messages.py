"""What a thread is told of files while they are worked on, and in the end."""

from dataclasses import replace

import pytest
from slack_sdk.models.blocks import Block

from api.languages.catalogue import Texts
from api.slack.files.file_messages import FileStatus, build_files_message
from ingest.storage.documents.progress import DocumentProgress
from ingest.storage.documents.records import Document, Version, VersionState
from ingest.storage.queue.records import Failure
from ingest.storage.remarks import Remark
from ingest.storage.slack.records import Audience, SharedFile, SharedFileState
from ingest.storage.texts.layout import Omission, OmissionKind, build_omission

ENGLISH = Texts("en")
VERSION = Version("v", "d", "ann", "a.pdf", "application/pdf", "", 1, "", VersionState.READY, pages=12)
DOCUMENT = Document("d", 1, "ann", "slack", "a.pdf", "A", "application/pdf", VERSION, "v", 0.0)
FILE = SharedFile("F1", "a.pdf", SharedFileState.TAKEN, "d", Audience.CHANNEL)


def seen(state: VersionState, progress: DocumentProgress | None = None) -> FileStatus:
    return FileStatus(FILE, replace(DOCUMENT, version=replace(VERSION, state=state)), progress)


def progress(state: VersionState, fraction: float = 0.0, **known: int) -> DocumentProgress:
    return DocumentProgress(state, fraction, known.pop("pages", None), None, 0, **known)


@pytest.mark.parametrize(
    ("each", "words"),
    [
        (FileStatus(SharedFile("F1", "a.pdf")), "is being downloaded…"),
        (
            FileStatus(SharedFile("F1", "a.pdf", said=Failure("slack_busy", "Slack is busy."))),
            "is waiting. Slack is busy.",
        ),
        (seen(VersionState.ACCEPTED), "is in the queue…"),
        (
            seen(VersionState.ACCEPTED, progress(VersionState.ACCEPTED, queue_position=3)),
            "is in the queue, behind 3 others…",
        ),
        (seen(VersionState.PARSING), "is being read…"),
        (
            seen(VersionState.PARSING, progress(VersionState.PARSING, pages=1_200, pages_done=40)),
            "is being read, page 40 of 1,200…",
        ),
        (seen(VersionState.CHUNKING), "is being indexed…"),
        (seen(VersionState.EMBEDDING, progress(VersionState.EMBEDDING, 0.4)), "is being indexed, 40 %…"),
        (
            FileStatus(replace(FILE, state=SharedFileState.READY), DOCUMENT),
            "is ready: 12 pages, in the collection slack.",
        ),
        (FileStatus(replace(FILE, state=SharedFileState.READY)), "was deleted in Leadline."),
        (
            FileStatus(
                replace(FILE, state=SharedFileState.FAILED, said=Failure("no_text", "It holds no text.", "Scan it."))
            ),
            "could not be read. It holds no text. Scan it.",
        ),
    ],
)
def test_each_stage_has_words_of_its_own(each: FileStatus, words: str) -> None:
    assert build_files_message([each], ENGLISH).text == f"`a.pdf` {words}"


def test_what_a_file_was_read_without_is_told() -> None:
    omissions = (Omission(OmissionKind.IMAGE, 3, "pages 2, 7"), Omission(OmissionKind.FORMULA, 1))
    document = replace(DOCUMENT, version=replace(VERSION, omissions=omissions))
    said = build_files_message([FileStatus(replace(FILE, state=SharedFileState.READY), document)], ENGLISH).text
    assert said == (
        "`a.pdf` is ready: 12 pages, in the collection slack. "
        "Content that is not in the text: 3 images (pages 2, 7); 1 formula."
    )


def test_what_a_file_was_read_without_is_told_in_the_language_of_the_workspace() -> None:
    omissions = (
        build_omission(OmissionKind.HIDDEN, 3, [Remark("omitted_hidden_text"), Remark("omitted_slide", slide="2")]),
        Omission(OmissionKind.FORMULA, 1),
    )
    document = replace(DOCUMENT, version=replace(VERSION, omissions=omissions))
    said = build_files_message([FileStatus(replace(FILE, state=SharedFileState.READY), document)], Texts("de")).text
    assert "3 verborgene Teile (verborgener Text; Folie 2); 1 Formel" in said


def test_a_hundred_files_are_one_message_that_slack_takes() -> None:
    many = [
        FileStatus(replace(FILE, file_id=f"F{n}", name="<!channel> " * 60, said=Failure("x", "`" * 3_000)))
        for n in range(100)
    ]
    message = build_files_message(
        [FileStatus(replace(each.file, state=SharedFileState.REFUSED)) for each in many], ENGLISH
    )
    for block in Block.parse_all(message.blocks):
        block.validate_json()
    assert len(message.blocks) == 21
    assert "And 80 more files. Finished: 80." in str(message.blocks[-1])
    assert all(len(each["text"]["text"]) <= 3_000 for each in message.blocks)
    assert "<!" not in str(message)
