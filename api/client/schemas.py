"""The server's schemas that the client sends and returns, each imported when it is first used.

Importing all of them takes longer than importing httpx, and most programs use only a few.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from api.accounts.schemas import PrincipalOut
    from api.answers.conversation_schemas import (
        ConversationOut,
        ConversationPage,
        ConversationWithTurnsOut,
        RowOut,
        RowPage,
        TurnOut,
    )
    from api.answers.event_schemas import (
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
    from api.answers.pending_schemas import PendingAnswerOut
    from api.answers.run_schemas import RunEndOut, RunEventOut, RunOut, RunPage, RunWithAnswerOut
    from api.answers.schemas import (
        AnswerOut,
        BudgetIn,
        CitationOut,
        CoverageOut,
        FoundPassageOut,
        MessageIn,
        QuestionIn,
        QuoteOut,
        ResultOut,
        ResultTableOut,
        SearchedOut,
        SentenceOut,
        UsageOut,
    )
    from api.collections.schemas import CollectionOut, CollectionPage
    from api.documents.batch_schemas import BatchFailureOut, BatchFailurePage, BatchOut, BatchPage
    from api.documents.bulk_schemas import BulkStepOut, RefusedOut
    from api.documents.card_schemas import CardOut, FacetsOut
    from api.documents.content_schemas import OutlineEntryOut, OutlinePage, PositionsOut, TableOut, TablePage
    from api.documents.schemas import (
        DeletionOut,
        DocumentFailureOut,
        DocumentGoneOut,
        DocumentOut,
        DocumentPage,
        OmissionOut,
        ProgressOut,
        Reason,
        UploadedOut,
    )
    from api.search.schemas import HitOut, RerankedOut, SearchIn, SearchOut, UnreadableOut
    from api.sources.schemas import (
        SourceCheckOut,
        SourceItemOut,
        SourceKindList,
        SourceKindOut,
        SourceList,
        SourceOut,
        SyncCountsOut,
        SyncedItemOut,
        SyncedItemPage,
        SyncOut,
        SyncPage,
    )
    from api.status.schemas import StatusOut
    from api.suggestions.schemas import SuggestionsOut

__all__ = [
    "ANSWER_EVENTS",
    "AnswerEvent",
    "AnswerOut",
    "BatchFailureOut",
    "BatchFailurePage",
    "BatchOut",
    "BatchPage",
    "BudgetIn",
    "BulkStepOut",
    "CardOut",
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
    "DocumentFailureOut",
    "DocumentGoneOut",
    "DocumentOut",
    "DocumentPage",
    "FacetsOut",
    "FoundPassageOut",
    "HitOut",
    "MessageIn",
    "OmissionOut",
    "OutlineEntryOut",
    "OutlinePage",
    "PendingAnswerOut",
    "PlannedOut",
    "PositionsOut",
    "PrincipalOut",
    "ProgressOut",
    "QuestionIn",
    "QuoteOut",
    "ReadingOut",
    "Reason",
    "RefusedOut",
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
    "SourceCheckOut",
    "SourceItemOut",
    "SourceKindList",
    "SourceKindOut",
    "SourceList",
    "SourceOut",
    "StatusOut",
    "SuggestionsOut",
    "SyncCountsOut",
    "SyncOut",
    "SyncPage",
    "SyncedItemOut",
    "SyncedItemPage",
    "TableOut",
    "TablePage",
    "TurnOut",
    "UnreadableOut",
    "UploadedOut",
    "UsageOut",
    "WorkingOut",
]

_NAMES_BY_MODULE = {
    "api.answers.schemas": (
        "AnswerOut BudgetIn CitationOut CoverageOut FoundPassageOut MessageIn QuestionIn QuoteOut ResultOut "
        "ResultTableOut SearchedOut SentenceOut UsageOut"
    ),
    "api.documents.card_schemas": "CardOut FacetsOut",
    "api.documents.batch_schemas": "BatchFailureOut BatchFailurePage BatchOut BatchPage",
    "api.collections.schemas": "CollectionOut CollectionPage",
    "api.documents.bulk_schemas": "BulkStepOut RefusedOut",
    "api.documents.content_schemas": "OutlineEntryOut OutlinePage PositionsOut TableOut TablePage",
    "api.answers.conversation_schemas": (
        "ConversationOut ConversationPage ConversationWithTurnsOut RowOut RowPage TurnOut"
    ),
    "api.answers.event_schemas": (
        "ANSWER_EVENTS AnswerEvent CellOut CheckingOut CondensedOut DeltaOut PlannedOut "
        "ReadingOut RetrievedOut RoutedOut WorkingOut"
    ),
    "api.accounts.schemas": "PrincipalOut",
    "api.answers.pending_schemas": "PendingAnswerOut",
    "api.answers.run_schemas": "RunEndOut RunEventOut RunOut RunPage RunWithAnswerOut",
    "api.documents.schemas": (
        "DeletionOut DocumentFailureOut DocumentGoneOut DocumentOut DocumentPage OmissionOut ProgressOut Reason "
        "UploadedOut"
    ),
    "api.search.schemas": "HitOut RerankedOut SearchIn SearchOut UnreadableOut",
    "api.sources.schemas": (
        "SourceCheckOut SourceItemOut SourceKindList SourceKindOut SourceList SourceOut SyncCountsOut SyncOut SyncPage "
        "SyncedItemOut SyncedItemPage"
    ),
    "api.status.schemas": "StatusOut",
    "api.suggestions.schemas": "SuggestionsOut",
}
_MODULES = {name: module for module, names in _NAMES_BY_MODULE.items() for name in names.split()}

if not TYPE_CHECKING:  # Hidden from type checkers, which would otherwise accept every name.

    def __getattr__(name: str) -> object:
        """Import a schema when it is first used. Raises `AttributeError` for any other name."""
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        schema = globals()[name] = getattr(import_module(_MODULES[name]), name)
        return schema
