"""Answers: conversations, runs and run logs, feedback, share links, cached replies of language models, and usage."""
