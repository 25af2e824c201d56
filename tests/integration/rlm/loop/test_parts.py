"""Runs within runs, in the real sandbox."""

from tests.unit.rlm.loop.test_parts import *  # noqa: F403 - its tests, with the fixtures of this folder
