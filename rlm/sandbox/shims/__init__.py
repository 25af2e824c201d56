"""Modules that the interpreter lacks, written in the Python that it supports. They run in the sandbox, never on the
host.
"""
