"""Semantic operators over the records of a corpus: a model or a classifier judges each record, and code adds up."""
