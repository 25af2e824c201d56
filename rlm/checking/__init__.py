"""Checking what a model wrote: where its quotations stand, and whether a judge finds that they support it."""
