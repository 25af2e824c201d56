"""Answering over long documents, measured on generated tasks: documents, questions, exact gold and scorers.

`tasks/` writes them, seeded and of any size; `service.py` asks the real service; `results.py` scores what it said. No
model judges.
"""
