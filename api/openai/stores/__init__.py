"""OpenAI's files and vector stores, over our documents and collections."""
