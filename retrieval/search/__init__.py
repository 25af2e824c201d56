"""Search: rewrite, retrieve, fuse, rerank and expand passages."""
