"""Measure search quality by computing metrics from judged questions."""
