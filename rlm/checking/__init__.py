"""Checks a model's text: finds its quotations in the passages, and asks a judge whether they support the answer."""
