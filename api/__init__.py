"""The edges people and programs touch: REST and the command line."""
