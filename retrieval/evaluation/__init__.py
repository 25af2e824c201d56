"""Measure search quality: judged questions in, metrics out."""
