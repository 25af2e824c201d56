"""Claiming jobs, committing their results under a fencing token, and failing them."""
