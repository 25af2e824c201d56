"""Receive and parse documents, and store everything that the service knows."""
