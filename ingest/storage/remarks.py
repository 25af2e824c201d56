"""The remarks that code makes for people, such as the notes of an answer, each with a code.

Programs and the log get a remark's English text. The portal and the Slack bot say the same in another language: they
look up its code in the catalogue of `api/languages`, and put in its values.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Self

from ingest.storage.document_remarks import DOCUMENT_REMARKS
from ingest.storage.slack_remarks import SLACK_REMARKS

REMARKS: Mapping[str, str | tuple[str, str]] = {
    # Notes of an answer.
    "answer_cut_off": "The answer was cut off: the model reached its output limit.",
    "answer_not_saved": "This answer could not be saved.",
    "passages_unknown": "The model cited passages that it was not given; these markers were removed.",
    "no_passage_named": "The model did not cite any passage for this answer.",
    "larger_model_needed": (
        "A larger language model can compute this from the table. Administrators can set one in LEADLINE_LLM; if you "
        "are not an administrator, ask yours."
    ),
    "document_unreadable": (
        "The stored text of “{title}” (document {document}) was changed or is missing, so this answer does not use "
        "it. The operator of the service can run `leadline verify` for details."
    ),
    "rerank_failed": "Passages were chosen by the search alone, because they could not be reranked: {problem}",
    "withheld_deleted": (
        "Parts of this answer are withheld: they were based on a document that has since been deleted or replaced."
    ),
    "withheld_closed": "Parts of this answer are withheld: they are based on documents that you cannot access.",
    "judge_failed": "Some sentences could not be checked: {problem}",
    "verdicts_unclear": (
        "{unclear} of {n} sentence with a source could not be checked. Compare it with its source.",
        "{unclear} of {n} sentences with sources could not be checked. Compare these with their sources.",
    ),
    "count_between": "The count lies between {low} and {high} with a probability of {confidence}%.",
    "classifier_labels": (
        "A classifier gave {inferred} of the {labels} labels behind this result; in its sample, {differing}% of such "
        "labels differed from the model's."
    ),
    "rows_not_judged": (
        'For "{column}", {n} row has no result: {problem}.',
        'For "{column}", {n} rows have no result: {problem}.',
    ),
    "records_cited": (
        "{n} of the {records} records behind this answer is cited.",
        "{n} of the {records} records behind this answer are cited.",
    ),
    "read_documents": (
        "The model read {n} document for {columns}{part}: these values are its reading.",
        "The model read {n} documents for {columns}{part}: these values are its reading.",
    ),
    "read_sections": (
        "The model read {n} section for {columns}{part}: these values are its reading.",
        "The model read {n} sections for {columns}{part}: these values are its reading.",
    ),
    "read_rows": (
        'The model read {n} row of "{table}" for {columns}{part}: these values are its reading.',
        'The model read {n} rows of "{table}" for {columns}{part}: these values are its reading.',
    ),
    "read_by_search": ", passages that a search found in {searched} of them",
    "values_not_found": (
        '"{column}" is empty for {n} document: not found in what was read.',
        '"{column}" is empty for {n} documents: not found in what was read.',
    ),
    "run_partly_answered": "The run ended before its answer was ready. This answers a part of it: “{part}”",
    "run_draft": "The run ended before its answer was submitted; this is its best draft.",
    # Reasons for the way in which a question is answered.
    "strategy_direct": "Direct",
    "strategy_table": "Table",
    "strategy_recursive": "Recursive",
    "strategy_auto": "Auto",
    "route_chosen": "{strategy}: {why}",
    "route_requested": "{strategy}, as requested.",
    "route_small_model": "Direct: the model is too small to choose a strategy.",
    "route_reads_all": "Direct: all of these documents can be read at once.",
    "route_nothing_searchable": "Direct: no documents are searchable.",
    "route_no_model": "Extractive: no language model is configured.",
    "route_undecided": "Direct: the model could not choose a strategy ({problem})",
    "route_not_here": "Direct: no document here seems to be about this. {why}",
    "route_not_in_tables": "Direct: the tables cannot answer this. {why}",
    "route_too_large": "Recursive: filling a table would take too much without confirmation. {estimate}",
    # Reasons why a run ended, and what it left out.
    "run_no_reply": "The model returned no usable response. {problem}",
    "run_no_code": "The model wrote no code that could be run.",
    "run_code_lost": "The model's code repeatedly ran out of time or memory.",
    "run_cells_over": (
        "The model gave no answer within {n} step.",
        "The model gave no answer within {n} steps.",
    ),
    "run_time_over": "The run's time is over.",
    "records_not_judged": ("{n} record has no result: {problem}.", "{n} records have no result: {problem}."),
    "calls_not_answered": ("{n} model call has no reply: {problem}.", "{n} model calls have no reply: {problem}."),
    "computed_by_code": (
        "Computed by code that searched {searched} of {n} document{how}.",
        "Computed by code that searched {searched} of {n} documents{how}.",
    ),
    "computed_how": ": {how}",
    "not_computed_unread": "The answer claims to be computed, but its code read no document.",
    "not_computed": "The answer claims to be computed, but this could not be confirmed: {why}.",
    "sentence_not_computed": 'The sentence "{sentence}" is not marked as computed: {why}.',
    # Answers that code writes, in the language of the question.
    "answer_no_passages": "No passages were found: no document is searchable yet, or none is related to the question.",
    "answer_not_in_passages": "The passages that were read do not answer the question.",
    "answer_needs_table": (
        "No single row that was read answers this question: it needs all {rows} rows of “{table}” to be counted, "
        "compared or searched, which the built-in model cannot do. This is one of the rows [1]."
    ),
    "answer_documents_silent": "The documents do not say.",
    "answer_quotes": "No language model was used. These sentences from the documents are the closest to the question:",
    "answer_no_quotes": "No language model was used, and the search found nothing in these documents.",
    "answer_not_found": "No answer was found before the run ended. {why}",
    # Reasons why an answer may not be computed from the documents.
    "doubts": "{first}; {next}",
    "doubt": "{names} {why}",
    "doubt_names": "{first} and {next}",
    "doubt_typed": "{numbers} was hard-coded",
    "doubt_unchanged": ("it stayed the same when the text it read was changed, or changed only with a single place"),
    "doubt_too_much": "its code read too much to be run again",
    "doubt_too_slow": "running its code again took more than {seconds} seconds",
    "doubt_other_answer": "running its code again did not give the same answer",
    "doubt_one_other": "took only one other value, no matter how the text it read was changed",
    "doubt_unread": "was present even when nothing was read",
    "doubt_number": "has {number}, which stayed the same no matter how the text it read was changed",
    "doubt_half": "changed with one half of the text it read, but never with the other half alone{lost}",
    "doubt_same": "stayed the same no matter how the text it read was changed{lost}",
    "doubt_lost": " ({failed} of {runs} runs ended without an answer)",
    # How much of the documents was read.
    "coverage": "Of {tokens}, a model read {read} and code searched {searched}{rest}.",
    "coverage_about": "Of about {tokens}, a model read {read} and code searched {searched}{rest}.",
    "coverage_rest": "{unopened}{inferred}{not_found}{failed}",
    "coverage_unopened": "; {tokens} were not opened",
    "coverage_inferred": "; {units} labelled by a classifier trained on what was read",
    "coverage_not_found": "; of {units} a value was not found in what was read",
    "coverage_failed": "; {units} failed",
    "documents": ("{n} document", "{n} documents"),
    # Steps of a computation over tables.
    "plan_reads_rows": 'Read the rows of "{table}": {instruction}',
    "plan_runs_query": "Run the query over the tables.",
    "judging_rows": "Reading the rows for {columns}",
    "searching_documents": "Searching the documents for {columns}",
    # Steps of a run whose model does not say what its code is for.
    "step_submit": "Writes the answer",
    "step_draft": "Keeps a draft of the answer",
    "step_rlm_query": "Researches a part on its own",
    "step_classify": "Sorts records by label",
    "step_filter_records": "Selects the records that match",
    "step_extract": "Extracts values from records",
    "step_map_records": "Has a model read records",
    "step_pairs": "Compares pairs of records",
    "step_llm_query_batched": "Has a model read parts of the text",
    "step_llm_query": "Has a model read a part of the text",
    "step_search": "Searches the documents",
    "step_grep": "Looks for words in the text",
    "step_count": "Counts matches in the text",
    "step_read": "Reads passages",
    "step_records": "Cuts the text into records",
    "step_outline": "Looks at the outline",
    "step_and_step": "{first} · {next}",
    "step_code": "Runs code",
    "step_no_code": "Replies without code",
    # Estimates and limits of the cost of a question.
    "cost": "About {calls} of the language model over {records}{again}, {tokens}, {duration}{money}{price}.",
    "cost_again": " ({reread} of them read twice)",
    "cost_price_unknown": " (the model's price is not known)",
    "limits": "At most {parts}.",
    "calls": ("{n} call", "{n} calls"),
    "calls_of_model": ("{n} call of the language model", "{n} calls of the language model"),
    "records": ("{n} record", "{n} records"),
    "tokens": ("{n} token", "{n} tokens"),
    "tokens_to_read": ("{n} token to read", "{n} tokens to read"),
    "tokens_to_write": ("{n} token to write", "{n} tokens to write"),
    "tokens_to_read_and_write": ("{n} token to read and write", "{n} tokens to read and write"),
    "seconds": "{seconds} s",
    "minutes": "{minutes} min",
    "hours": "{hours} h",
    "dollars": "{amount}",
    # An error with its own code, whose texts for people are elsewhere: `api/portal/assets/problem_texts.js`.
    "problem": "{detail}",
    **DOCUMENT_REMARKS,
    **SLACK_REMARKS,
    # Faults in the audit log.
    "audit_anchor_unknown": "the anchor's entry was changed, is missing, or was removed because of its age",
    "audit_entries_missing": "entries {first} to {last} are missing",
    "audit_entries_missing_at_end": "entries {first} to {last} are missing at the end",
    "audit_previous_hash_differs": "the entry's previous hash does not match the preceding entry",
    "audit_entry_changed": "the entry was changed after it was written",
    "audit_entry_differs": "the entry does not match the anchor or the recorded end of the chain",
    "audit_entry_beyond_end": "the entry is beyond the recorded end of the chain",
    "audit_removal_unrecorded": "no entry records that the entries up to here were removed because of their age",
    "audit_anchor_removed": "the anchor's entry was removed because of its age: use a later anchor",
}
"""The English text of each code. Of two texts, the first is about one thing and the second about `{n}` things."""

PROBLEM = "problem"
Value = str | int | float | Sequence[str]


class Remark(str):
    """A sentence in English, or a part of one, with its code and values.

    A value is a text that is the same in all languages, a number, another remark, or a list of texts and remarks. A
    number with a fraction is shown with one decimal.

    Raises `KeyError` if `REMARKS` does not have the code, or if the text has no such value.
    """

    __slots__ = ("code", "values")

    code: str
    values: Mapping[str, Value]

    def __new__(cls, code: str, /, **values: Value) -> Self:
        forms = REMARKS[code]
        template = forms if isinstance(forms, str) else forms[values["n"] != 1]
        remark = super().__new__(cls, template.format(**{name: _format(value) for name, value in values.items()}))
        remark.code, remark.values = code, values
        return remark

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild_remark, (self.code, dict(self.values))


def name_problem(code: str, detail: str = "") -> Remark:
    """Return a remark that names an error by its code, in the words of `detail` or, if it is empty, of the code."""
    return Remark(PROBLEM, problem=code, detail=detail or code.replace("_", " "))


def convert_remark_to_json(remark: str) -> dict[str, Any] | None:
    """Return the code, the values and the text of a remark as JSON, or None for a text without a code."""
    if not isinstance(remark, Remark):
        return None
    return {
        "code": remark.code,
        "values": {name: _convert_value(value) for name, value in remark.values.items()},
        "text": str(remark),
    }


def parse_remark(found: Any) -> Remark | None:  # noqa: ANN401 - any JSON
    """Return the remark that `convert_remark_to_json` converted, or None if its code or its values are not known."""
    try:
        return Remark(found["code"], **{name: _parse_value(value) for name, value in found["values"].items()})
    except (AttributeError, LookupError, TypeError, ValueError):
        return None


def _parse_value(found: Any) -> Value:  # noqa: ANN401 - any JSON
    match found:
        case {"text": str(text)}:
            return parse_remark(found) or text
        case list():
            return [str(_parse_value(each)) if isinstance(each, int | float) else _parse_value(each) for each in found]  # type: ignore[misc]
        case str() | int() | float():
            return found
    raise ValueError("The value of the remark is not valid.")


def _convert_value(value: Value) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(value, str):
        return convert_remark_to_json(value) or value
    return value if isinstance(value, int | float) else [_convert_value(each) for each in value]


def _rebuild_remark(code: str, values: dict[str, Value]) -> Remark:
    return Remark(code, **values)


def _format(value: Value) -> str:
    match value:
        case str():
            return value
        case int():
            return f"{value:,}"
        case float():
            return f"{value:,.1f}"
        case _:
            return ", ".join(value)
