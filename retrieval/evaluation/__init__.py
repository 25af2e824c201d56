"""Measure how good a search is: judged questions in, metrics out."""
