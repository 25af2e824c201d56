"""How good the decisions about answers are, measured on judged questions."""
