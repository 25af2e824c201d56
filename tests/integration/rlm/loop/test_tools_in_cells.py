"""Tools as the code of a run calls them, in the real sandbox."""

from tests.unit.rlm.loop.test_tools_in_cells import *  # noqa: F403 - its tests, with the fixtures of this folder
