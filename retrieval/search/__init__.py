"""Search: rewrite queries, retrieve candidates, fuse and rerank them, and expand the hits."""
