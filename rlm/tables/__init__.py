"""Answers that code computes over record tables: a model plans columns to judge and one query over all rows."""
