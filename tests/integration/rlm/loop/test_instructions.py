"""The examples of the instructions, in the real sandbox."""

from tests.unit.rlm.loop.test_instructions import *  # noqa: F403 - its tests, with the fixtures of this folder
