"""Runs the cells of a run again with changed results of tools, to check whether its answer was computed."""
