"""Opens the adapter of a source from its stored options."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from ingest.sources.errors import SourceOptionsError
from ingest.sources.packages import report_missing_packages
from ingest.sources.port import Source, SourceContext, SourceKind
from ingest.storage.sources.rounds import Round


@dataclass(frozen=True)
class SourceOpener:
    """Opens adapters. `context` is what the service permits; each adapter gets its own folder for temporary files."""

    kinds: Mapping[str, SourceKind]
    context: SourceContext

    @contextmanager
    def open_source(self, sync: Round) -> Iterator[Source]:
        """Open the adapter of a round.

        Raises `SourceOptionsError` if its kind or its options are not valid here, and `SourceError` if a package is
        missing.
        """
        kind = self.kinds.get(sync.kind)
        if kind is None:
            raise SourceOptionsError(f"This service has no sources of the kind {sync.kind!r}.")
        try:
            options = kind.options.model_validate(dict(sync.options))
        except ValidationError as error:
            wrong = ", ".join(".".join(map(str, each["loc"])) for each in error.errors())
            raise SourceOptionsError(f"Invalid options: {wrong}.") from error
        self.context.scratch.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix="source-", dir=self.context.scratch))
        try:
            with report_missing_packages():
                source = kind.build(options, replace(self.context.for_tenant(sync.tenant_id), scratch=scratch))
            try:
                yield source
            finally:
                source.close()
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
