"""A run that was just begun."""

from ingest.storage.answers.run_records import Run, RunSpending, RunState

RUN = Run(
    id="r",
    sequence=1,
    tenant_id="ann",
    question="Why?",
    collections=(),
    documents=(),
    strategy="direct",
    limits={},
    every_record=False,
    history=(),
    conversation_id=None,
    state=RunState.RUNNING,
    attempt=1,
    events=1,
    spent=RunSpending(),
    seconds=0.0,
    progress=None,
    scope_documents=0,
    scope_characters=0,
    answer=None,
    failure=None,
    created_at=0.0,
    started_at=0.0,
    ended_at=None,
)
