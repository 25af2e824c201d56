"""Suggested questions: first ones about documents, and next ones after an answer."""
