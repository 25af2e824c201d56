"""The benchmark of long-document answering: seeded tasks of any size with exact gold, and their scorers.

Generators write documents and questions to a folder, scorers compare what was answered with what is known, and no
model judges. Only the `baseline` asks one: it is a way of answering like others, to be compared with.
"""
