# ruff: noqa: F401
from functools import cache, lru_cache, partial, reduce


def wraps(wrapped, **_):
    def return_unchanged(function):
        return function

    return return_unchanged


def cmp_to_key(compare):
    raise TypeError("cmp_to_key does not run here: sort by a key function that returns a tuple")
