"""How often a sub-call of a run came to nothing: once or twice the model was away, after that it may be the call."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

# Each time is an attempt of its own, some seconds after the one before.
_OFTEN = 3


class Losses:
    """Those of one attempt and of the attempts before it, by the key of each call."""

    def __init__(self, logged: Callable[[Sequence[str]], Mapping[str, Any]], attempt: int) -> None:
        """`logged` looks keys up in the run's log, and `attempt` is a number that no other attempt has."""
        self._logged = logged
        self._attempt = attempt
        self._often: set[str] = set()

    def next_key(self, key: str) -> str:
        """Under which it is logged that the call came to nothing in this attempt, too."""
        keys = [f"{key}:lost:{number}" for number in range(1, _OFTEN + 1)]
        before = len(self._logged(keys))
        if before + 1 >= _OFTEN:
            self._often.add(key)
        return keys[before] if before < _OFTEN else f"{key}:{self._attempt}"

    def often(self, key: str) -> bool:
        """Whether the call came to nothing in this attempt, and not for the first few times."""
        return key in self._often
