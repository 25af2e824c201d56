"""Receive and parse documents, and store all data of the service."""
