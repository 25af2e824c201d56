"""Answers: read passages with a language model and check every citation by machine."""
