"""Composition: makes the parts of a deployment and joins them."""
