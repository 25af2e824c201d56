"""OpenAI's files and vector stores, based on our documents and collections."""
