"""Checks what a model wrote: finds its quotations in the passages, and asks a judge whether they support the answer."""
