"""Admission: who may ask, how much, and how many at once."""
