"""Jobs: claiming them, committing their results under a fence, and failing them."""
