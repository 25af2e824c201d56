"""Answers questions: reads passages with a language model and checks every citation in code."""
