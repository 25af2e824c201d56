"""The names of all fault points, and what stands half done at each."""

FAULT_POINTS: dict[str, str] = {
    "upload.synced": "the bytes are on the disk under a temporary name",
    "upload.kept": "the bytes have their key, and no row names it",
    "upload.accepted": "the row is committed, and the sender has no answer yet",
    "upload.answering": "the doorbell was rung, and the sender has no answer yet",
    "look.began": "a worker has a message, and holds no job",
    "ingest.claimed": "a worker holds the job and has done nothing",
    "ingest.parsed": "the text is in memory only",
    "ingest.text_saved": "text and map are kept, and the index has nothing",
    "ingest.writing": "a worker is about to write chunks, and may have lost its lease since it last looked",
    "ingest.half_indexed": "some of the chunks are in the index",
    "ingest.indexed": "all chunks are in the index, and the version is not active",
    "ingest.committed": "the version is active, and nobody was told to embed it",
    "embed.claimed": "a worker holds the job and has encoded nothing",
    "embed.encoded": "the vectors are in memory only",
    "embed.written": "the vectors are in the index, and no row says so",
    "embed.committed": "the version is ready, and the worker has not gone on",
    "delete.committed": "the document is gone for readers, and its points are there",
    "delete.points_removed": "the points are gone, and text and bytes are there",
    "delete.blobs_removed": "points, text and bytes are gone, and what answers and runs made of them is there",
    "redact.committed": "some of what answers and runs made of it is redacted",
    "collect.claimed": "a worker holds the collection and has removed nothing",
    "reembed.claimed": "a builder holds the version and has written nothing of it",
    "reembed.writing": "a builder is about to write chunks, and may have lost its lease since it last looked",
    "reembed.half_indexed": "some of the chunks are in the generation being built",
    "reembed.encoded": "new vectors are in memory only",
    "reembed.written": "new vectors are in the generation being built, and no row says so",
    "reembed.committed": "the version counts as put into the generation, and the builder has not gone on",
    "switch.committing": "everything is changed for the switch, and nothing is committed",
    "discard.removed": "the index of a discarded generation is gone, and nobody was told",
    "sweep.recovered": "lost jobs are queued again, and nobody was told",
}
# Fault points of webhooks, which no upload passes.
WEBHOOK_FAULT_POINTS: dict[str, str] = {
    "webhooks.claimed": "a sender holds messages, and sent none",
    "webhooks.sent": "the receiver has a message, and no row says so",
}
# Fault points of runs, which no upload passes.
RUN_FAULT_POINTS: dict[str, str] = {
    "run.claimed": "a worker holds the run and has done nothing",
    "run.begun": "the versions in scope are recorded, and nothing was asked",
    "run.replied": "a sub-call's reply is in memory only",
    "run.logged": "a sub-call's reply is logged, and was not used",
    "run.answered": "the answer is in memory only",
    "run.ended": "the answer is committed, and the worker has not gone on",
}
# Fault points of sources, which no upload passes.
SOURCE_FAULT_POINTS: dict[str, str] = {
    "sync.claimed": "a worker holds the source and has done nothing",
    "sync.begun": "the synchronization is running, and nothing was listed",
    "sync.opened": "an item is open, and nothing of it was read",
    "sync.accepted": "an item's document is committed, and no row of the item says so",
    "sync.recorded": "an item is recorded, and the next one was not opened",
    "sync.listed": "everything was listed, and nothing was removed",
    "sync.removed": "some of the items that are gone are removed",
    "sync.ended": "the synchronization has ended, and the worker has not gone on",
}
# Fault points of questions from Slack, in the order in which they are passed.
SLACK_FAULT_POINTS: dict[str, str] = {
    "slack.accepted": "the question is committed, and Slack has no answer yet",
    "slack.claimed": "a process holds the question and has done nothing",
    "slack.run_begun": "the run is committed, and the question does not name it",
    "slack.run_recorded": "the question names its run, and nothing of it was followed",
    "slack.posting": "a message is noted as on its way, and was not sent",
    "slack.sent": "Slack has the message, and the catalog does not know it",
    "slack.posted": "the catalog knows the message",
    "slack.streaming": "a stream has a part of the text",
    "slack.removed": "a message that was shown is gone from Slack, and the catalog has it",
    "slack.answered": "the reply is in memory only",
    "slack.finished": "the reply is in Slack whole, and the question has not ended",
}
# Fault points of questions from Slack whose run meets its limits, in the order in which they are passed.
SLACK_PAUSE_FAULT_POINTS: dict[str, str] = {
    "slack.run_paused": "the run waits for somebody, and the thread does not say so",
    "slack.asked_what_to_do": "the thread asks what to do, and the question is still held",
    "slack.paused": "nobody holds the question, and its place is not free",
    "slack.decided": "the run goes on as somebody decided, and nobody follows it",
}
# Fault points of files from Slack, in the order in which they are passed; the last one when a file is deleted there.
SLACK_FILE_FAULT_POINTS: dict[str, str] = {
    "slack.files_stored": "the files are committed, and Slack has no answer yet",
    "slack.file_posting": "the message is noted as on its way, and was not sent",
    "slack.file_posted": "Slack has the message, and the catalog does not know it",
    "slack.file_fetched": "all bytes are on disk, and nothing was committed",
    "slack.file_accepted": "the document is committed, and the file does not name it",
    "slack.file_taken": "the file names its document, and nothing more was said",
    "slack.file_told": "the message says how far the files are, and the step has not ended",
    "slack.file_deleted": "the document is deleted, and nothing was said",
}
