"""The names of the strategies."""

from enum import StrEnum


class StrategyName(StrEnum):
    """What a caller may ask for; `auto` leaves it to the router."""

    AUTO = "auto"
    DIRECT = "direct"
    EXHAUSTIVE = "exhaustive"
    RECURSIVE = "recursive"
    CHAIN = "chain"
