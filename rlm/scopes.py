"""Whose documents a question is about."""

from dataclasses import dataclass


@dataclass(frozen=True)
class AnswerScope:
    """A tenant's collections and documents, all of them where none is named; an answer can cite nothing else."""

    tenant_id: str
    collections: tuple[str, ...] = ()
    documents: tuple[str, ...] = ()
