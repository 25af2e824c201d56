"""A durable run: finished sub-calls and searches are read from the log, and new ones are logged before they are used.

An answer's text is logged in pieces while it is written, so that other clients can follow it live.
"""

import hashlib
import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import partial
from typing import Any

from ingest.storage.answers.run_records import Run, RunLogEntry
from ingest.storage.documents.rows import ActiveDocument
from ingest.storage.instrumentation import reach_fault_point
from retrieval.search.requests import Passage
from rlm.corpus.corpus import ActiveDocuments, build_handle
from rlm.corpus.handles import Handle
from rlm.errors import (
    BudgetExhaustedError,
    ContextTooLongError,
    LanguageModelOutputError,
    LanguageModelTimeoutError,
    LanguageModelUnavailableError,
    not_cancelled,
)
from rlm.events import Delta, Event, Turn
from rlm.llm.budgets import Budget, Limits, Price, Usage
from rlm.llm.port import Finished, ReportedSubCalls, SubCall, SubCalls, SubFailure, SubReply, rebuild_error
from rlm.runs.attempt import AttemptAccount, LogWriter, LostCalls, RunClock
from rlm.runs.bodies import (
    build_call_entry,
    build_cell_body,
    build_event_entry,
    build_interrupted_usage_entry,
    build_passages_entry,
    build_spans_entry,
    compute_call_hash,
    compute_content_hash,
    parse_call_result,
    parse_passages,
    parse_spans,
)
from rlm.runs.port import Durability, Log
from rlm.runs.raises import BudgetRaises, is_budget_reached
from rlm.strategy import Search, SpanSearch

# Interval at which pieces of a reply are logged. Pieces arrive many times a second, so each log entry combines the
# pieces of one interval.
_PIECE_SECONDS = 1.0


class DraftPieces:
    """Collects the pieces of answer text in one attempt.

    The `from` of an entry is the offset of its `text` in the answer; 0 restarts the answer.
    """

    def __init__(self, attempt: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Create the collector. `attempt` is a number that is unique to this attempt at the run."""
        self._attempt = attempt
        self._clock = clock
        self._text = ""
        self._logged = 0
        self._since: float | None = None

    def add_piece(self, piece: str) -> RunLogEntry | None:
        """Add the next piece of text. Returns an entry if it is time to log one; a short reply needs none."""
        self._text += piece
        now = self._clock()
        if self._since is None:
            self._since = now
        if now - self._since < _PIECE_SECONDS or len(self._text) == self._logged:
            return None
        begin, self._logged, self._since = self._logged, len(self._text), now
        return RunLogEntry(f"draft:{self._attempt}:{begin}", "draft", {"from": begin, "text": self._text[begin:]})


# Error codes with which the same call would fail again. These failures are logged, so that code that handled a failure
# handles it again after a resume.
_LASTING_CODES = frozenset({ContextTooLongError.code, LanguageModelOutputError.code, BudgetExhaustedError.code})
_PROBE_TOKENS = 16


class DurableRun(Durability):
    """One attempt at a run, as a `Durability`. Closed when the attempt is over.

    Identical requests within a run are distinguished by their order: the first occurrence gets the logged result of the
    first occurrence in the earlier attempt, whichever thread makes it. Budgets use the attempt's `clock`.
    """

    background = True

    def __init__(self, run: Run, log: Log, clock: RunClock | None = None) -> None:
        self.clock = clock or RunClock(run.seconds)
        self._run = run
        self._log = log
        self._lock = threading.Lock()
        self._occurrences: Counter[str] = Counter()
        self._nonces = itertools.count()
        self._writer = LogWriter(log.append_entries)
        self._spending = AttemptAccount(run.spent)
        self._losses = LostCalls(self.load_bodies, run.events)
        self._budget: Budget | None = None
        self._price: Price | None = None
        self.raises = BudgetRaises(run, self.load_bodies)
        self._drafts = DraftPieces(run.events)

    def wrap_sub_calls(self, sub_calls: ReportedSubCalls, budget: Budget, price: Price | None) -> SubCalls:
        return _DurableSubCalls(sub_calls, self, self._spending, budget, price)

    def record_turn(self, turn: Turn) -> None:
        digest = compute_content_hash(turn.depth, turn.number, turn.code, turn.output, turn.error)
        self._writer.add_entries(RunLogEntry(self.build_log_key("cell", digest), "cell", build_cell_body(turn)))

    def wrap_document_search(self, base_search: Search, document_id: str) -> SpanSearch:
        def search(query: str, top_k: int) -> Sequence[Handle]:
            # guard: document-search-key
            key = self.build_log_key("retrieved", compute_content_hash(query, top_k, document_id))
            logged = self.load_bodies([key]).get(key)
            if logged is None:
                found = base_search(query, top_k)
                # The entry is committed with those of the calls that read the passages, because a column may need
                # thousands of searches. A search whose entry was lost is repeated.
                self._writer.add_entries(build_spans_entry(key, found))
                return list(map(build_handle, found))
            spans = parse_spans(logged)
            gone = self._log.list_hidden_versions({span.version_id for span in spans})
            return [span for span in spans if span.version_id not in gone]

        return search

    def wrap_search(self, base_search: Search) -> Search:
        def search(query: str, top_k: int) -> Sequence[Passage]:
            key = self.build_log_key("retrieved", compute_content_hash(query, top_k))
            logged = self.load_bodies([key]).get(key)
            if logged is None:
                found = list(base_search(query, top_k))
                self._writer.add_entries(build_passages_entry(key, found))
                self._writer.flush()
                return found
            passages = parse_passages(logged)
            gone = self._log.list_hidden_versions({passage.version_id for passage in passages})
            return [passage for passage in passages if passage.version_id not in gone]

        return search

    def wrap_documents(self, documents: ActiveDocuments) -> ActiveDocuments:
        return self

    def list_active_documents(self, tenant_id: str, *, after: int, **scope: object) -> list[ActiveDocument]:
        """Return those documents that the run started with and may still see. The scope is the same in each attempt."""
        return self._log.list_pinned_documents(after=after)

    def build_budget(self, limits: Limits, price: Price | None) -> Budget:
        budget = Budget(limits, elapsed_seconds=self.clock(), clock=self.clock)
        self._spending.charge_replayed(self._log.load_lost_usage(), budget, price)
        self._budget, self._price = budget, price
        self.raises.bind_budget(budget)
        return budget

    def create_nonce(self) -> str:
        """Return a mark that no author of a document can know.

        The mark is derived from the run's id, which contains 122 random bits generated after the documents were
        written.
        """
        return hashlib.sha256(f"{self._run.id}:{next(self._nonces)}".encode()).hexdigest()[:16]

    def get_today(self) -> date:
        return datetime.fromtimestamp(self._run.created_at, UTC).date()

    def record_event(self, event: Event) -> None:
        """Log a strategy's event. The answer's text is logged in pieces while it is written."""
        if isinstance(event, Delta):
            if (piece := self._drafts.add_piece(event.text)) is not None:
                self._writer.add_entries(piece)
            return
        name = type(event).__name__
        with self._lock:
            self._occurrences[name] += 1
            occurrence = self._occurrences[name]
        if (entry := build_event_entry(event, occurrence)) is not None:
            self._writer.add_entries(entry)

    def build_log_key(self, kind: str, digest: str) -> str:
        """Return the log key for the next occurrence of this content."""
        with self._lock:
            occurrence = self._occurrences[f"{kind}:{digest}"]
            self._occurrences[f"{kind}:{digest}"] += 1
        return f"{kind}:{digest}:{occurrence}"

    def load_bodies(self, keys: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        return self._log.load_bodies(keys)

    def raise_budget(self, stage: int, key: str, failure: SubFailure) -> None:
        """Raise the budget of a stage because a call has reached it, and log the increase.

        Raises `RunPausedError` if there is no larger budget yet.
        """
        if (entry := self.raises.raise_reached_budget(stage, key, failure)) is not None:
            self._writer.add_entries(entry)

    def record_reached_budget(
        self, key: str, call: SubCall, result: SubReply | SubFailure, price: Price | None
    ) -> None:
        """Log the cost of a call that reached the budget and will be repeated."""
        if result.paid_usage != Usage():
            digest = compute_content_hash(key, self._run.events, self.raises.stage)
            self._writer.add_entries(build_call_entry(f"met:{digest}", call, result, price, kind="lost"))
        self._spending.record_logged_usage(result.paid_usage)

    def record_call(
        self, key: str, call: SubCall, result: SubReply | SubFailure, price: Price | None, *, is_final: bool = False
    ) -> None:
        """Queue a finished sub-call for logging, at the price of its model.

        If a call failed because a service was unavailable, only its cost is logged and the next attempt makes the call
        again, unless `is_final` is true. A call that was never sent is not logged. A call that no model read does not
        count as a call of the run, because waiting for a model must not spend the run's budget.
        """
        reach_fault_point("run.replied")
        if is_final or not isinstance(result, SubFailure) or result.code in _LASTING_CODES:
            self._writer.add_entries(build_call_entry(key, call, result, price))
        elif not _is_unsent_call(result):
            lost = result if result.usage.prompt_tokens else replace(result, usage=Usage())
            self._writer.add_entries(
                build_call_entry(self._losses.build_next_loss_key(key), call, lost, price, kind="lost")
            )
        self._spending.record_logged_usage(result.paid_usage)

    def is_often_lost(self, key: str) -> bool:
        """Return whether a recorded sub-call was lost in this attempt and in earlier ones."""
        return self._losses.is_often_lost(key)

    def build_probe_call(self) -> tuple[str, SubCall]:
        """Return a small call that was never made before, and its key."""
        key = self.build_log_key("probe", str(self._run.events))
        return key, SubCall("", f"Reply with yes. ({self._run.id} {key})", _PROBE_TOKENS, purpose="probe")

    def flush(self) -> None:
        """Wait until all queued entries have been committed."""
        self._writer.flush()
        reach_fault_point("run.logged")

    def close(self) -> None:
        """Log the spending that was lost when the attempt was interrupted, and stop. Never raises an error."""
        if self._budget is not None and (usage := self._spending.compute_unlogged_usage(self._budget)) != Usage():
            with suppress(Exception):  # The run may have ended, or may belong to another worker now.
                self._writer.add_entries(
                    build_interrupted_usage_entry(f"given-up:{self._run.events}", usage, self._price)
                )
        if not self._writer.close() and self._budget is not None:
            spent = self._budget.spending
            with suppress(Exception):  # The catalog may be unavailable.
                self._log.record_spending(spent.usage, spent.dollars)


class _DurableSubCalls:
    def __init__(
        self, sub_calls: ReportedSubCalls, run: DurableRun, account: AttemptAccount, budget: Budget, price: Price | None
    ) -> None:
        self._inner = sub_calls
        self._run = run
        self._charge = partial(account.charge_replayed, budget=budget, price=price)
        self._charge_rest = partial(account.charge_remaining, budget, price)
        self._put = partial(run.record_call, price=price)
        self._put_met = partial(run.record_reached_budget, price=price)

    def run(
        self, calls: Sequence[SubCall], *, cancelled: Callable[[], bool] = not_cancelled
    ) -> Sequence[SubReply | SubFailure]:
        """Run the calls as specified by the interface.

        Replies logged by an earlier attempt cost nothing and need no model. Raises `LanguageModelUnavailableError` if
        the model is unavailable: the run must not continue without the model's replies, and the next attempt can use
        all replies received so far. Raises `RunPausedError` if the run has reached its budget and waits for a user.
        """
        keys = [self._run.build_log_key("call", compute_call_hash(call)) for call in calls]
        self._run.raises.apply_logged_raises(keys)
        logged = self._run.load_bodies(keys)
        results = {at: parse_call_result(logged[key]) for at, key in enumerate(keys) if key in logged}
        for result in results.values():
            self._charge(result.paid_usage)
        missing = [at for at in range(len(calls)) if at not in results]
        if missing:
            self._run.clock.resume()
            self._charge_rest()
            results |= self._make_missing_calls(calls, keys, missing, cancelled)
            failures = ((at, results[at]) for at in missing)
            failed = [
                _FailedCall(at, keys[at], calls[at], each) for at, each in failures if isinstance(each, SubFailure)
            ]
            results |= self._resolve_failures(failed, cancelled)
        return [results[at] for at in range(len(calls))]

    def _make_missing_calls(
        self,
        calls: Sequence[SubCall],
        keys: Sequence[str],
        missing_indexes: Sequence[int],
        cancelled: Callable[[], bool],
    ) -> Mapping[int, SubReply | SubFailure]:
        """Make the calls that have no logged reply.

        Calls that reached the budget are repeated each time it is raised.
        """
        results: dict[int, SubReply | SubFailure] = {}
        while missing_indexes:
            stage = self._run.raises.stage
            waits = self._run.raises.is_waiting(stage)
            told = self._build_result_logger(calls, keys, missing_indexes, is_waiting=waits)
            asked = [calls[at] for at in missing_indexes]
            for place, result in enumerate(self._inner.run(asked, cancelled=cancelled, on_result=told)):
                told(place, result)
                results[missing_indexes[place]] = result
            self._run.flush()
            failures = ((at, results[at]) for at in missing_indexes if waits)
            met = {at: each for at, each in failures if isinstance(each, SubFailure) and is_budget_reached(each)}
            missing_indexes = list(met)
            if met:
                self._run.raise_budget(stage, keys[missing_indexes[0]], met[missing_indexes[0]])
        return results

    def _build_result_logger(
        self, calls: Sequence[SubCall], keys: Sequence[str], missing_indexes: Sequence[int], *, is_waiting: bool
    ) -> Finished:
        """Return a callback that logs each result once, as soon as it is known.

        If `is_waiting` is true, the run waits for a larger budget, and reaching the budget does not count as a result.
        """
        seen: set[int] = set()
        lock = threading.Lock()

        def log_result(place: int, result: SubReply | SubFailure) -> None:
            with lock:
                if place in seen:
                    return
                seen.add(place)
            at = missing_indexes[place]
            put = self._put_met if is_waiting and is_budget_reached(result) else self._put
            put(keys[at], calls[at], result)

        return log_result

    def stream(
        self, call: SubCall, *, cancelled: Callable[[], bool] = not_cancelled
    ) -> Iterator[str | SubReply | SubFailure]:
        """Stream the reply as specified by the interface.

        A logged reply is yielded as one piece. A new reply is logged before the last item of the stream is yielded.
        Raises `LanguageModelUnavailableError` and `RunPausedError` under the same conditions as `run`.
        """
        key = self._run.build_log_key("call", compute_call_hash(call))
        self._run.raises.apply_logged_raises([key])
        if (logged := self._run.load_bodies([key]).get(key)) is not None:
            result = parse_call_result(logged)
            self._charge(result.paid_usage)
            if isinstance(result, SubReply):
                yield result.text
            yield result
            return
        self._run.clock.resume()
        self._charge_rest()
        yield from self._stream_new_reply(key, call, cancelled)

    def _stream_new_reply(
        self, key: str, call: SubCall, cancelled: Callable[[], bool]
    ) -> Iterator[str | SubReply | SubFailure]:
        """Stream the reply to a new call.

        If the call reached the budget before any text was shown, and the budget was raised, the call is repeated.
        """
        stage, shown = self._run.raises.stage, False
        for item in self._inner.stream(call, cancelled=cancelled):
            if isinstance(item, str):
                shown = True
                yield item
            elif (
                not shown
                and isinstance(item, SubFailure)
                and is_budget_reached(item)
                and self._run.raises.is_waiting(stage)
            ):
                self._put_met(key, call, item)
                self._run.flush()
                self._run.raise_budget(stage, key, item)
                yield from self._stream_new_reply(key, call, cancelled)
            else:
                yield from self._log_stream_end(key, call, item, cancelled, has_shown_text=shown)

    def _log_stream_end(
        self,
        key: str,
        call: SubCall,
        result: SubReply | SubFailure,
        cancelled: Callable[[], bool],
        *,
        has_shown_text: bool,
    ) -> Iterator[str | SubReply | SubFailure]:
        """Log the end of a stream and yield its result.

        If `has_shown_text` is true, pieces were already shown and the stream cannot be repeated.
        """
        self._put(key, call, result)
        self._run.flush()
        if not isinstance(result, SubFailure):
            yield result
            return
        if has_shown_text and _is_model_unavailable(result):
            if not self._run.is_often_lost(key):
                raise rebuild_error(result)
            self._put(key, call, replace(result, usage=Usage()), is_final=True)
            self._run.flush()
            yield result
            return
        settled = self._resolve_failures([_FailedCall(0, key, call, result)], cancelled).get(0, result)
        if isinstance(settled, SubReply):
            yield settled.text
        yield settled

    def _resolve_failures(
        self, failed_calls: Sequence["_FailedCall"], cancelled: Callable[[], bool]
    ) -> Mapping[int, SubReply | SubFailure]:
        """Wait for an unavailable model, but give up on calls that always fail while the model answers other calls.

        Returns the results of calls that were repeated because the model answers other calls.
        """
        often = {each.key for each in failed_calls if self._run.is_often_lost(each.key)}
        late = [
            each for each in failed_calls if each.failure.code == LanguageModelTimeoutError.code and each.key in often
        ]
        for each in late:
            self._put(each.key, each.call, replace(each.failure, usage=Usage()), is_final=True)
        if late:
            self._run.flush()
        away = [each for each in failed_calls if _is_model_unavailable(each.failure)]
        if away and not (all(each.key in often for each in away) and self._is_model_responding(cancelled)):
            raise rebuild_error(away[0].failure)
        return self._repeat_calls(away, cancelled) if away else {}

    def _repeat_calls(
        self, failed_calls: Sequence["_FailedCall"], cancelled: Callable[[], bool]
    ) -> Mapping[int, SubReply | SubFailure]:
        results = self._inner.run([each.call for each in failed_calls], cancelled=cancelled)
        unsent = [each for each in results if isinstance(each, SubFailure) and _is_unsent_call(each)]
        for each, result in zip(failed_calls, results, strict=True):
            self._put(each.key, each.call, result, is_final=result not in unsent)
        self._run.flush()
        if unsent:
            raise rebuild_error(unsent[0])
        return {each.at: result for each, result in zip(failed_calls, results, strict=True)}

    def _is_model_responding(self, cancelled: Callable[[], bool]) -> bool:
        """Return whether the model answers a new call."""
        key, call = self._run.build_probe_call()
        (result,) = self._inner.run([call], cancelled=cancelled)
        self._put(key, call, result)
        return isinstance(result, SubReply) or result.code == LanguageModelOutputError.code


@dataclass(frozen=True)
class _FailedCall:
    """A call in a batch that has no reply, with its position and key."""

    at: int
    key: str
    call: SubCall
    failure: SubFailure


def _is_model_unavailable(result: SubReply | SubFailure) -> bool:
    return isinstance(result, SubFailure) and result.code == LanguageModelUnavailableError.code


def _is_unsent_call(failure: SubFailure) -> bool:
    return isinstance(failure.error, LanguageModelUnavailableError) and not failure.error.sent
