"""The limits and the last cells of a run, in the real sandbox."""

from tests.unit.rlm.loop.test_last_cells import *  # noqa: F403 - its tests, with the fixtures of this folder
