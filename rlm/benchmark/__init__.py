"""The benchmark of long-document answering: seeded tasks of any size with exact gold, and their scorers.

Nothing here asks a model or reads a setting: generators write documents and questions to a folder, scorers compare
what was answered with what is known.
"""
