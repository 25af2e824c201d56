"""How good a search is: judged questions in, figures out."""
