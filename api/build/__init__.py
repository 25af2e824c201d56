"""Composition roots: create and connect the components of each deployment."""
