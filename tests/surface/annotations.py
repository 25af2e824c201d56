"""Writes types without the modules that their parts are in, which may move."""

import re
from enum import Enum
from typing import Any, get_args


def write_annotation(annotation: Any) -> str:  # noqa: ANN401 - any form of a type
    """Write a type by the names of its parts, and an enumeration by its values."""
    for each in (annotation, *get_args(annotation)):
        if isinstance(each, type) and issubclass(each, Enum):
            return "|".join(str(member.value) for member in each)
    written = annotation.__name__ if type(annotation) is type else str(annotation)
    return re.sub(r"\b(?:\w+\.)+(\w+)", r"\1", written)
