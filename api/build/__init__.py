"""Composition roots: build and connect the parts of each deployment."""
