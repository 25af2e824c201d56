"""The Python client of a Leadline service.

    from leadline import Client

    with Client("https://leadline.example.org", "ll_…") as client:
        answer = client.answer("What did the audit find?")
        print(answer.text)

`AsyncClient` has the same methods for asyncio. All errors are `ServiceError` or its subclasses. The other names are
schemas: the objects that the methods accept and return. Each name is imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from api.client import (
        AsyncClient,
        Client,
        ForbiddenError,
        IdempotencyError,
        NoAnswerError,
        NotFoundError,
        QuotaError,
        RefusedError,
        ServerError,
        ServiceError,
        StateError,
        UnauthorizedError,
        UnavailableError,
    )
    from api.client.schemas import (
        AnswerEvent,
        AnswerOut,
        BatchFailureOut,
        BatchOut,
        BudgetIn,
        BulkStepOut,
        CardOut,
        CellOut,
        CheckingOut,
        CitationOut,
        CollectionOut,
        CollectionPage,
        CondensedOut,
        ConversationOut,
        ConversationWithTurnsOut,
        CoverageOut,
        DeletionOut,
        DeltaOut,
        DocumentFailureOut,
        DocumentGoneOut,
        DocumentOut,
        FacetsOut,
        FoundPassageOut,
        HitOut,
        MessageIn,
        OmissionOut,
        OutlineEntryOut,
        PendingAnswerOut,
        PlannedOut,
        PositionsOut,
        PrincipalOut,
        ProgressOut,
        QuestionIn,
        QuoteOut,
        ReadingOut,
        Reason,
        RefusedOut,
        RerankedOut,
        ResultOut,
        ResultTableOut,
        RetrievedOut,
        RoutedOut,
        RowOut,
        RunEndOut,
        RunEventOut,
        RunOut,
        RunWithAnswerOut,
        SearchedOut,
        SearchIn,
        SearchOut,
        SentenceOut,
        StatusOut,
        SuggestionsOut,
        TableOut,
        TurnOut,
        UnreadableOut,
        UploadedOut,
        UsageOut,
        WorkingOut,
    )

_CLIENT = frozenset(
    {
        "AsyncClient",
        "Client",
        "ForbiddenError",
        "IdempotencyError",
        "NoAnswerError",
        "NotFoundError",
        "QuotaError",
        "RefusedError",
        "ServerError",
        "ServiceError",
        "StateError",
        "UnauthorizedError",
        "UnavailableError",
    }
)

__all__ = [
    "AnswerEvent",
    "AnswerOut",
    "AsyncClient",
    "BatchFailureOut",
    "BatchOut",
    "BudgetIn",
    "BulkStepOut",
    "CardOut",
    "CellOut",
    "CheckingOut",
    "CitationOut",
    "Client",
    "CollectionOut",
    "CollectionPage",
    "CondensedOut",
    "ConversationOut",
    "ConversationWithTurnsOut",
    "CoverageOut",
    "DeletionOut",
    "DeltaOut",
    "DocumentFailureOut",
    "DocumentGoneOut",
    "DocumentOut",
    "FacetsOut",
    "ForbiddenError",
    "FoundPassageOut",
    "HitOut",
    "IdempotencyError",
    "MessageIn",
    "NoAnswerError",
    "NotFoundError",
    "OmissionOut",
    "OutlineEntryOut",
    "PendingAnswerOut",
    "PlannedOut",
    "PositionsOut",
    "PrincipalOut",
    "ProgressOut",
    "QuestionIn",
    "QuotaError",
    "QuoteOut",
    "ReadingOut",
    "Reason",
    "RefusedError",
    "RefusedOut",
    "RerankedOut",
    "ResultOut",
    "ResultTableOut",
    "RetrievedOut",
    "RoutedOut",
    "RowOut",
    "RunEndOut",
    "RunEventOut",
    "RunOut",
    "RunWithAnswerOut",
    "SearchIn",
    "SearchOut",
    "SearchedOut",
    "SentenceOut",
    "ServerError",
    "ServiceError",
    "StateError",
    "StatusOut",
    "SuggestionsOut",
    "TableOut",
    "TurnOut",
    "UnauthorizedError",
    "UnavailableError",
    "UnreadableOut",
    "UploadedOut",
    "UsageOut",
    "WorkingOut",
]

if not TYPE_CHECKING:  # otherwise type checkers would accept any attribute name

    def __getattr__(name: str) -> object:
        """Import a name listed in `__all__` on first use. Raises `AttributeError` for any other name."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        owner = import_module("api.client" if name in _CLIENT else "api.client.schemas")
        value = globals()[name] = getattr(owner, name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
