"""The steps of a run in words."""

from api.languages.catalogue import Texts
from api.slack.replies.steps import MAX_STEPS, RunSteps

ROUTED = {"strategy": "recursive", "estimate": "At most 500 calls."}


def titles(steps: RunSteps, *, hides_contents: bool = False) -> list[str]:
    return [card.title for card in steps.build_cards(hides_contents=hides_contents)]


def test_the_models_own_sentence_is_the_title_of_a_step_of_its_program() -> None:
    steps = RunSteps(Texts("en"))
    steps.add_event("routed", ROUTED)
    steps.add_event("working", {"step": "cells", "done": 1, "total": 30})
    steps.add_event("cell", {"title": "Look for headings of journals.", "code": "outline()"})
    steps.add_event("cell", {"code": "answer()"})  # of a model that says nothing, or of an earlier release
    assert titles(steps) == [
        "Plan: work through the documents",
        "Work through the documents: 1 step",
        "Look for headings of journals.",
    ]
    assert [card.state for card in steps.build_cards()] == ["complete", "in_progress", "complete"]


def test_a_long_program_leaves_cards_for_the_last_steps() -> None:
    steps = RunSteps(Texts("en"))
    steps.add_event("routed", ROUTED)
    for number in range(1, 21):
        steps.add_event("working", {"step": "cells", "done": number, "total": 30})
        steps.add_event("cell", {"title": f"Read part {number}."})
    steps.add_event("draft", {"text": "It"})
    steps.add_event("checking", {"sentences": 1})
    shown = titles(steps)
    assert len(shown) <= MAX_STEPS
    assert "Read part 20." in shown
    assert shown[-2:] == ["Write the answer", "Check 1 sentence against the sources"]


def test_what_a_model_wrote_is_not_shown_to_those_who_may_not_see_its_documents() -> None:
    steps = RunSteps(Texts("en"))
    steps.add_event("cell", {"title": "Find the wages of Ada Brandt."})
    steps.add_event("reading", {"titles": ["Wages"]})
    assert steps.has_model_titles
    assert titles(steps, hides_contents=True) == ["A step of the program", "Read 1 passage"]
    assert "Wages" not in str(steps.build_cards(hides_contents=True))


def test_reading_no_passages_is_no_step() -> None:
    steps = RunSteps(Texts("en"))
    steps.add_event("retrieved", {"query": "whale", "passages": 2, "titles": ["Whale"]})
    before = titles(steps), steps.status
    steps.add_event("reading", {"titles": []})
    assert (titles(steps), steps.status) == before


def test_steps_are_described_in_german() -> None:
    steps = RunSteps(Texts("de"))
    steps.add_event("retrieved", {"passages": 1_200})
    assert steps.status == "hat die Dokumente durchsucht…"
    assert titles(steps) == ["Dokumente durchsuchen: 1.200 Textstellen gefunden"]
