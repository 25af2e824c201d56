"""The server's schemas that the client sends and returns, each imported when it is first used.

Importing them all takes longer than importing httpx, and most programs use a few.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from api.answer_schemas import (
        AnswerOut,
        BudgetIn,
        CitationOut,
        CoverageOut,
        MessageIn,
        QuestionIn,
        QuoteOut,
        ResultOut,
        ResultTableOut,
        SearchedOut,
        SentenceOut,
        UsageOut,
    )
    from api.batch_schemas import BatchFailureOut, BatchFailurePage, BatchOut, BatchPage
    from api.collection_schemas import CollectionOut, CollectionPage
    from api.content_schemas import OutlineEntryOut, OutlinePage, PositionsOut, TableOut, TablePage
    from api.conversation_schemas import (
        ConversationOut,
        ConversationPage,
        ConversationWithTurnsOut,
        RowOut,
        RowPage,
        TurnOut,
    )
    from api.event_schemas import (
        ANSWER_EVENTS,
        AnswerEvent,
        CellOut,
        CheckingOut,
        CondensedOut,
        DeltaOut,
        PlannedOut,
        ReadingOut,
        RetrievedOut,
        RoutedOut,
        WorkingOut,
    )
    from api.identity_schemas import PrincipalOut
    from api.run_schemas import RunEndOut, RunEventOut, RunOut, RunPage, RunWithAnswerOut
    from api.schemas import (
        DeletionOut,
        DocumentGoneOut,
        DocumentOut,
        DocumentPage,
        OmissionOut,
        ProgressOut,
        Reason,
        UploadedOut,
    )
    from api.search_schemas import HitOut, RerankedOut, SearchIn, SearchOut, UnreadableOut
    from api.status_schemas import StatusOut

__all__ = [
    "ANSWER_EVENTS",
    "AnswerEvent",
    "AnswerOut",
    "BatchFailureOut",
    "BatchFailurePage",
    "BatchOut",
    "BatchPage",
    "BudgetIn",
    "CellOut",
    "CheckingOut",
    "CitationOut",
    "CollectionOut",
    "CollectionPage",
    "CondensedOut",
    "ConversationOut",
    "ConversationPage",
    "ConversationWithTurnsOut",
    "CoverageOut",
    "DeletionOut",
    "DeltaOut",
    "DocumentGoneOut",
    "DocumentOut",
    "DocumentPage",
    "HitOut",
    "MessageIn",
    "OmissionOut",
    "OutlineEntryOut",
    "OutlinePage",
    "PlannedOut",
    "PositionsOut",
    "PrincipalOut",
    "ProgressOut",
    "QuestionIn",
    "QuoteOut",
    "ReadingOut",
    "Reason",
    "RerankedOut",
    "ResultOut",
    "ResultTableOut",
    "RetrievedOut",
    "RoutedOut",
    "RowOut",
    "RowPage",
    "RunEndOut",
    "RunEventOut",
    "RunOut",
    "RunPage",
    "RunWithAnswerOut",
    "SearchIn",
    "SearchOut",
    "SearchedOut",
    "SentenceOut",
    "StatusOut",
    "TableOut",
    "TablePage",
    "TurnOut",
    "UnreadableOut",
    "UploadedOut",
    "UsageOut",
    "WorkingOut",
]

_NAMES_BY_MODULE = {
    "api.answer_schemas": (
        "AnswerOut BudgetIn CitationOut CoverageOut MessageIn QuestionIn QuoteOut ResultOut ResultTableOut "
        "SearchedOut SentenceOut UsageOut"
    ),
    "api.batch_schemas": "BatchFailureOut BatchFailurePage BatchOut BatchPage",
    "api.collection_schemas": "CollectionOut CollectionPage",
    "api.content_schemas": "OutlineEntryOut OutlinePage PositionsOut TableOut TablePage",
    "api.conversation_schemas": "ConversationOut ConversationPage ConversationWithTurnsOut RowOut RowPage TurnOut",
    "api.event_schemas": (
        "ANSWER_EVENTS AnswerEvent CellOut CheckingOut CondensedOut DeltaOut PlannedOut ReadingOut RetrievedOut "
        "RoutedOut WorkingOut"
    ),
    "api.identity_schemas": "PrincipalOut",
    "api.run_schemas": "RunEndOut RunEventOut RunOut RunPage RunWithAnswerOut",
    "api.schemas": "DeletionOut DocumentGoneOut DocumentOut DocumentPage OmissionOut ProgressOut Reason UploadedOut",
    "api.search_schemas": "HitOut RerankedOut SearchIn SearchOut UnreadableOut",
    "api.status_schemas": "StatusOut",
}
_MODULES = {name: module for module, names in _NAMES_BY_MODULE.items() for name in names.split()}

if not TYPE_CHECKING:  # a type checker would otherwise accept every name

    def __getattr__(name: str) -> object:
        """Import a schema. Raises `AttributeError` for any other name."""
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        schema = globals()[name] = getattr(import_module(_MODULES[name]), name)
        return schema
