"""Capacity planning: memory of model servers, and resources for a number of documents and questions."""
