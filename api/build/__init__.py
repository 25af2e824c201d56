"""Composition roots: build the parts of each deployment and connect them."""
