# ruff: noqa: F401
from typing import Any as Callable
from typing import Any as Generator
from typing import Any as Hashable
from typing import Any as Iterable
from typing import Any as Iterator
from typing import Any as Mapping
from typing import Any as MutableMapping
from typing import Any as Sequence
