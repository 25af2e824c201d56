"""Says in plain words what each step of an answer or run does, in the language of a reader.

The portal says the same in `run_words.js` and `run_steps.js`, with links and icons.
"""

from collections.abc import Callable, Mapping
from typing import Any

from api.languages.catalogue import Texts
from rlm.loop.titles import PROGRAM_STEPS


def describe_step(kind: str, body: Mapping[str, Any], texts: Texts) -> str:
    """Describe the step that an event announces, or return an empty string if it announces none."""
    describe = _DESCRIPTIONS.get(kind)
    return describe(body, texts) if describe else ""


def name_cell(body: Mapping[str, Any], texts: Texts) -> str:
    """Return the title of a step of the model's program."""
    title = texts.translate_remark(body.get("coded_title"), body.get("title") or "") or texts.translate("Runs code")
    if not body.get("part"):
        return title
    return f"{title} ({texts.translate('part {part}', part=body['part'])})"


def name_strategy(strategy: str, texts: Texts) -> str:
    """Return what a strategy does."""
    t = texts.translate
    names = {
        "direct": t("Answers from the best passages"),
        "table": t("Computes over tables"),
        "recursive": t("Works through the documents with code"),
        "extractive": t("Quotes the closest sentences"),
    }
    return names.get(strategy, strategy)


def name_purpose(purpose: str, texts: Texts) -> str:
    """Return what a call of the model is for."""
    t = texts.translate
    names = {
        "root": t("Decides on the next step"),
        "llm_query": t("Reads a part of the text"),
        "judge": t("Checks sentences against their sources"),
        "route": t("Decides how to answer"),
        "condense": t("Understands the follow-up question"),
        "rewrite": t("Thinks of other words to search for"),
        "plan": t("Plans the computation"),
        "answer": t("Writes the answer"),
        "classify": t("Sorts records by label"),
        "filter": t("Selects the records that match"),
        "extract": t("Extracts values from records"),
        "format": t("Puts the answer into the requested form"),
        "probe": t("Checks that the model can be reached"),
        "given up": t("Was interrupted"),
    }
    return names.get(purpose) or t("Calls the model")


def _describe_choice(body: Mapping[str, Any], texts: Texts) -> str:
    reason = texts.translate_remark(body.get("coded_reason"), body["reason"])
    estimate = texts.translate_remark(body.get("coded_estimate"), body["estimate"])
    return " ".join(filter(None, (reason or name_strategy(body["strategy"], texts), estimate)))


def _describe_search(body: Mapping[str, Any], texts: Texts) -> str:
    count, titles = body["passages"], ", ".join(body["titles"][:5])
    number = texts.format_number(count)
    if not titles:
        return texts.translate_count(count, "Found {n} passage", "Found {n} passages", n=number)
    one, many = "Found {n} passage in {titles}", "Found {n} passages in {titles}"
    return texts.translate_count(count, one, many, n=number, titles=titles)


def _describe_reading(body: Mapping[str, Any], texts: Texts) -> str:
    titles = body["titles"]
    if not titles:  # The documents were deleted meanwhile.
        return ""
    number = texts.format_number(len(titles))
    read = texts.translate_count(len(titles), "Reads {n} passage", "Reads {n} passages", n=number)
    return f"{read}: {', '.join(dict.fromkeys(titles))}"


def _describe_plan(body: Mapping[str, Any], texts: Texts) -> str:
    coded = body.get("coded_steps") or [None] * len(body["steps"])
    return " ".join(texts.translate_remark(each, step) for each, step in zip(coded, body["steps"], strict=True))


def _describe_progress(body: Mapping[str, Any], texts: Texts) -> str:
    if body["step"] == PROGRAM_STEPS:
        return ""
    step = texts.translate_remark(body.get("coded_step"), body["step"])
    done, total = texts.format_number(body["done"]), texts.format_number(body["total"])
    return texts.translate("{step}: {done} of {total}", step=step, done=done, total=total)


def _describe_checks(body: Mapping[str, Any], texts: Texts) -> str:
    count = body["sentences"]
    return texts.translate_count(count, "Checks {n} sentence", "Checks {n} sentences", n=texts.format_number(count))


def _describe_pause(body: Mapping[str, Any], texts: Texts) -> str:
    resource = _name_limits(texts).get(body.get("resource", ""))
    if resource is None:
        return texts.translate("Paused, because its budget was used up")
    return texts.translate("Paused, because its budget was used up ({resource})", resource=resource)


def _describe_budget(body: Mapping[str, Any], texts: Texts) -> str:
    if not body["pauses"]:
        return texts.translate("Somebody asked it to answer with what it has")
    return texts.translate("Somebody added to its budget ({amounts})", amounts=_list_amounts(body["added"], texts))


def _list_amounts(added: Mapping[str, Any], texts: Texts) -> str:
    names = _name_limits(texts)
    return ", ".join(f"{names.get(name, name)}: {texts.format_number(float(each))}" for name, each in added.items())


def _name_limits(texts: Texts) -> dict[str, str]:
    t = texts.translate
    return {
        "calls": t("Model calls"),
        "prompt_tokens": t("Tokens read"),
        "completion_tokens": t("Tokens written"),
        "tokens": t("Tokens"),
        "dollars": t("Cost"),
        "seconds": t("Time"),
    }


_DESCRIPTIONS: Mapping[str, Callable[[Mapping[str, Any], Texts], str]] = {
    "start": lambda _, texts: texts.translate("Started"),
    "resume": lambda _, texts: texts.translate("Continued after an interruption"),
    "condensed": lambda body, texts: texts.translate(
        "Understood the question as: {question}", question=body["question"]
    ),
    "routed": _describe_choice,
    "retrieved": _describe_search,
    "reading": _describe_reading,
    "planned": _describe_plan,
    "working": _describe_progress,
    "cell": name_cell,
    "call": lambda body, texts: name_purpose(body["purpose"], texts),
    "lost": lambda body, texts: name_purpose(body["purpose"], texts),
    "checking": _describe_checks,
    "paused": _describe_pause,
    "budget": _describe_budget,
    "raised": lambda _, texts: texts.translate("Continued with a larger budget"),
}
