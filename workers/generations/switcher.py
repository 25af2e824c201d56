"""Switches between generations of the index.

Defines which steps are allowed, and which work must be completed before each step. Each step may be repeated, even by
another process if this one was killed in the middle of the step.
"""

import time
from collections.abc import Callable, Sequence

from ingest.storage.errors import GenerationStateError
from ingest.storage.generations.records import BuildProgress, Generation, GenerationState, get_build_command
from ingest.storage.generations.store import GenerationRecords, build_incomplete_error
from retrieval.encoders.registry import EncoderChoice
from workers.generations.pace import CatchUpPace

# A callback that receives a build's progress, and the number of finished chunks of a long document that is not
# committed yet. It may raise an error to stop the build.
Watch = Callable[[BuildProgress, int], None]
SWITCH_SECONDS = 60.0


def _ignore_progress(progress: BuildProgress, uncommitted_chunks: int) -> None: ...


class GenerationSwitcher:
    """Builds generations, switches to them and rolls back.

    `complete_generation` adds all versions except failed ones to the generation being built, and reports its progress.
    A switch is rejected if the missing documents take longer than `switch_seconds`.
    """

    def __init__(
        self,
        records: GenerationRecords,
        complete_generation: Callable[[Watch], None],
        *,
        switch_seconds: float = SWITCH_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._records = records
        self._complete = complete_generation
        self._switch_seconds = switch_seconds
        self._clock = clock

    def build_generation(self, choice: EncoderChoice | None, sparse_fingerprint: str) -> Generation:
        """Build a generation with an encoder, or continue building the current one, without switching to it.

        Raises `GenerationStateError` if no new generation is needed, or if another generation must be switched or
        discarded first.
        """
        beside = self._records.find_inactive_generation()
        if choice is None:
            if beside is None or beside.state is not GenerationState.BUILDING:
                raise GenerationStateError(
                    "No generation is being built.",
                    hint="Choose an encoder: `leadline index reembed --encoder NAME`. "
                    "`leadline index show` lists the encoders.",
                )
            generation = beside
        else:
            generation = self._start_generation(choice, sparse_fingerprint)
        self._complete_generation(generation)
        return generation

    def copy_to_new_layout(self, list_differences: Callable[[int], Sequence[str]]) -> Generation:
        """Copy the active generation to a new one with the storage layout in the settings, without switching to it.

        `list_differences` describes how a generation's storage differs from the settings. Vectors are copied rather
        than computed again. Raises `GenerationStateError` if no copy is needed, or if another generation must be
        switched or discarded first.
        """
        active = self._records.load_active_generation()
        if not list_differences(active.id):
            raise GenerationStateError(
                f"The active generation {active.id} already matches the storage settings.",
                hint="To move the generation, start every process of the cluster with the new LEADLINE_QDRANT_ "
                "settings, then run this command with the same settings. An index in a folder cannot be moved to other "
                "nodes. `leadline index repair` restores replicas that were lost with a node.",
            )
        generation = self._records.start_generation(
            active.encoder, active.sparse, active.dimension, source_id=active.id
        )
        self._complete_generation(generation)
        if others := list_differences(generation.id):
            raise GenerationStateError(
                f"Generation {generation.id} was created by a process with different settings: {'; '.join(others)}.",
                hint="Start every process of the cluster with the same settings, discard the generation (`leadline "
                "index discard --unfinished`), then run this command again.",
            )
        return generation

    def rebuild_index(self, choice: EncoderChoice, sparse_fingerprint: str) -> Generation:
        """Rebuild the whole index from the catalog and the blobs, and switch to it.

        If the index is not lost and only the sparse weights change, as after an upgrade, vectors are copied.
        """
        active = self._records.load_active_generation()
        same_vectors = active.encoder == choice.fingerprint and active.sparse != sparse_fingerprint and not active.lost
        copies = active.id if same_vectors else None
        generation = self._records.start_generation(
            choice.fingerprint, sparse_fingerprint, choice.dimension, source_id=copies
        )
        return self._complete_and_activate(generation)

    def switch(self) -> Generation:
        """Switch to the newer generation, after adding the documents that it lacks.

        Documents may go on arriving. Raises `GenerationStateError` if adding them takes too long.
        """
        active, beside = self._records.load_active_generation(), self._records.find_inactive_generation()
        if beside is None:
            raise GenerationStateError(
                f"Generation {active.id} is active, and there is no other generation to switch to.",
                hint="Build another generation with `leadline index reembed --encoder NAME`.",
            )
        if beside.id < active.id:
            return active
        return self._catch_up_and_activate(self._records.resume_building(beside.id), active)

    def roll_back(self) -> Generation:
        """Switch back to the previous generation, after adding the documents that arrived since it was active."""
        active, beside = self._records.load_active_generation(), self._records.find_inactive_generation()
        if beside is None:
            raise GenerationStateError(
                f"No generation before {active.id} is left to roll back to.",
                hint="`leadline index show` lists all generations.",
            )
        if beside.id > active.id:
            if beside.state is GenerationState.PREVIOUS:
                return active
            raise GenerationStateError(
                f"Generation {beside.id} is still being built, and no generation before {active.id} is left to roll "
                "back to.",
                hint="`leadline index discard --unfinished` discards the unfinished generation.",
            )
        return self._complete_and_activate(self._records.resume_building(beside.id))

    def _start_generation(self, choice: EncoderChoice, sparse_fingerprint: str) -> Generation:
        active, beside = self._records.load_active_generation(), self._records.find_inactive_generation()
        if (active.encoder, active.sparse) == (choice.fingerprint, sparse_fingerprint):
            raise GenerationStateError(
                f"The active generation {active.id} was already built with {choice.name}.",
                hint="`leadline index rebuild` rebuilds the whole index with the same encoder.",
            )
        if beside is not None and beside.id > active.id and beside.encoder == choice.fingerprint:
            return self._records.resume_building(beside.id)
        return self._records.start_generation(choice.fingerprint, sparse_fingerprint, choice.dimension)

    def _catch_up_and_activate(self, generation: Generation, active: Generation) -> Generation:
        """Add documents and activate the generation at the first moment at which it contains all of them."""
        pace = CatchUpPace(self._switch_seconds, clock=self._clock)

        def require_pace(progress: BuildProgress, uncommitted_chunks: int) -> None:
            pace.record(progress, uncommitted_chunks)
            if pace.is_too_slow:
                raise build_incomplete_error(generation, active, progress, pace.describe())

        while True:
            self._complete_generation(generation, require_pace)
            try:
                return self._records.activate(generation.id)
            except GenerationStateError:
                beside, progress = self._records.find_inactive_generation(), self._records.load_progress()
                is_building = beside is not None and (beside.id, beside.state) == (generation.id, generation.state)
                if not is_building or progress.failed:
                    raise
            require_pace(progress, 0)

    def _complete_and_activate(self, generation: Generation) -> Generation:
        """Complete a generation, however long this takes, then add what has arrived meanwhile and activate it."""
        active = self._records.load_active_generation()
        self._complete_generation(generation)
        return self._catch_up_and_activate(generation, active)

    def _complete_generation(self, generation: Generation, watch: Watch = _ignore_progress) -> None:
        """Complete a generation.

        Raises `GenerationStateError` if some versions cannot be added, or if another process discards the generation.
        """
        self._records.queue_missing_versions()
        self._complete(watch)
        # guard: discarded-generation-is-not-complete
        if generation.id not in {live.id for live in self._records.list_live_generations()}:
            raise GenerationStateError(
                f"Another process discarded generation {generation.id} before it was complete.",
                hint="`leadline index show` lists all generations.",
            )
        progress = self._records.load_progress()
        if progress.failed:
            raise _build_failed_error(generation, progress, self._records)


def _build_failed_error(
    generation: Generation, progress: BuildProgress, records: GenerationRecords
) -> GenerationStateError:
    command = get_build_command(generation, records.load_active_generation())
    reasons = "; ".join(f"{document}: {failure.detail}" for document, failure in records.list_failures()[:3])
    return GenerationStateError(
        f"{progress.failed} of {progress.versions:,} documents could not be added to generation {generation.id}: "
        f"{reasons}",
        hint=f"Fix these errors or delete the documents, then run `leadline index {command}` to try again.",
    )
