"""Semantic operators over the records of a corpus.

A model or a classifier judges each record, and code combines the judgements.
"""
