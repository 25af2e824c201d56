"""Measure search quality: compute metrics from judged questions."""
