"""Capacity planning: the resources for a workload of documents and questions, and the memory of model servers."""
