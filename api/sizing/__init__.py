"""Capacity planning: the memory of model servers, and the resources for a workload of documents and questions."""
