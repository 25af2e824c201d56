"""Answers that move with what tools returned, in the real sandbox."""

from tests.unit.rlm.loop.replay.test_checker import *  # noqa: F403 - its tests, with the fixtures of this folder
