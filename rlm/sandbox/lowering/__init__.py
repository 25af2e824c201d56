"""Python as models write it, rewritten into the subset that the interpreter runs."""

from rlm.sandbox.lowering.lower import Lowered, lower
from rlm.sandbox.lowering.refusals import RefusedSyntaxError

__all__ = ["Lowered", "RefusedSyntaxError", "lower"]
