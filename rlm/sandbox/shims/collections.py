# ruff: noqa: F401
from collections import Counter, defaultdict, deque, namedtuple

OrderedDict = dict


def ChainMap(*maps):
    merged = {}
    for each in reversed(maps):
        merged.update(each)
    return merged
