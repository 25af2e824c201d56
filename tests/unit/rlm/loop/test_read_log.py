"""What of the documents a model read, what code searched, and what was not opened."""

import random

from hypothesis import given
from hypothesis import strategies as st

from rlm.corpus.handles import Handle
from rlm.loop.read_log import ReadLog, ReturnedTexts
from rlm.operators.judged import JudgementSource
from tests.support.corpora import corpus_of

_WORDS = random.Random(1)
PROSE = " ".join("".join(_WORDS.choices("aeioulmnrst", k=6)) + (".\n" if n % 9 == 8 else "") for n in range(1_500))


def test_code_searches_a_text_and_a_model_reads_what_it_is_shown_of_it() -> None:
    corpus = corpus_of(PROSE, "Other.")
    log, whole = ReadLog(corpus), corpus.documents[0].handle
    log.record_returned_text(whole, PROSE)
    before = log.compute_coverage()
    assert (before.tokens_read, before.units_read, before.units_searched) == (0, 0, 1)
    assert before.tokens_searched == corpus.estimate_tokens(whole)
    assert before.tokens_unopened == corpus.estimate_tokens(corpus.documents[1].handle)
    log.record_shown_text("Here: " + PROSE[:500])
    after = log.compute_coverage()
    assert after.tokens_read == corpus.estimate_tokens(whole[:500])
    assert after.tokens_read + after.tokens_searched == before.tokens_searched


@given(st.integers(0, 3_000), st.integers(160, 4_000), st.sampled_from([str, repr, lambda text: f"x{text}y"]))
def test_a_part_that_is_shown_is_found_to_its_ends(start: int, length: int, write: object) -> None:
    assert callable(write)
    given_, whole = ReturnedTexts(), Handle("d", "v", 100, 100 + len(PROSE))
    given_.add_text(whole, PROSE)
    part = PROSE[start : start + length]
    found = list(given_.iter_spans_in(write(part)))
    assert {(each.start, each.end) for each in found} == {(100 + start, 100 + start + len(part))}


def test_a_long_text_is_found_behind_much_that_nobody_was_given() -> None:
    given_, whole = ReturnedTexts(), Handle("d", "v", 0, len(PROSE))
    given_.add_text(whole, PROSE)
    strange = "".join(chr(65 + n * n % 26) for n in range(50_000))
    assert list(given_.iter_spans_in(strange + PROSE + strange)) == [whole]


def test_several_texts_and_short_ones_are_found_in_one_output() -> None:
    given_ = ReturnedTexts()
    handles = [Handle("d", "v", at, at + 200) for at in (0, 1_000)]
    texts = [PROSE[at : at + 200] for at in (0, 1_000)]
    for handle, text in zip(handles, texts, strict=True):
        given_.add_text(handle, text)
    given_.add_text(Handle("d", "v", 2_000, 2_012), "row 7: sold!")
    shown = f"A\n{texts[1]}\nB {texts[0]} C\nrow 7: sold!"
    assert set(given_.iter_spans_in(shown)) == {*handles, Handle("d", "v", 2_000, 2_012)}
    assert list(given_.iter_spans_in("nothing of it")) == []


def test_long_runs_keep_the_latest_texts() -> None:
    given_ = ReturnedTexts()
    texts = ["".join(chr(97 + (n * at) % 26) for at in range(1, 1_000_001)) for n in (1, 3, 5, 7, 9, 11, 15, 17, 19)]
    for n, text in enumerate(texts):
        given_.add_text(Handle("d", "v", n * 1_000_000, n * 1_000_000 + len(text)), text)
    assert list(given_.iter_spans_in(texts[0][5_000:5_400])) == []
    assert list(given_.iter_spans_in(texts[-1][5_000:5_400]))


def test_prompts_of_sub_models_are_read_once_they_are_answered() -> None:
    corpus = corpus_of(PROSE)
    log, whole = ReadLog(corpus), corpus.documents[0].handle
    log.record_returned_text(whole, PROSE)
    log.record_prompt(f"Sum up:\n{PROSE}", log.list_returned_spans_in(PROSE), "language model timeout")
    assert log.compute_coverage().tokens_read == 0
    assert log.failures == ("1 model call has no reply: language model timeout.",)
    log.record_prompt(f"Sum up:\n{PROSE}", log.list_returned_spans_in(f"Sum up:\n{PROSE}"))
    assert log.compute_coverage().tokens_read == corpus.size.tokens
    assert not [*log.failures]


def test_records_that_were_judged_later_are_missed_no_more() -> None:
    corpus = corpus_of(PROSE)
    (document,) = corpus.documents
    log, records = ReadLog(corpus), [document.handle[:10], document.handle[10:20]]
    log.record_judgements(
        "classify", [(records[0], JudgementSource.MODEL), (records[1], JudgementSource.NOBODY)], ["budget_exhausted"]
    )
    assert log.failures == ("1 record has no result: budget exhausted.",)
    assert log.compute_coverage().units_failed == 1
    log.record_judgements("filter", [(records[1], JudgementSource.MODEL)])
    assert log.failures
    log.record_judgements("classify", [(records[1], JudgementSource.MODEL)])
    assert not log.failures
    assert not log.compute_coverage().units_failed


def test_what_a_classifier_judged_is_inferred_and_not_read() -> None:
    corpus = corpus_of(PROSE, PROSE)
    one, other = (each.handle for each in corpus.documents)
    log = ReadLog(corpus)
    log.record_judgements(
        "classify",
        [
            (one[:200], JudgementSource.MODEL),
            (one[200:], JudgementSource.CLASSIFIER),
            (other, JudgementSource.CLASSIFIER),
        ],
    )
    coverage = log.compute_coverage()
    assert coverage.tokens_read == corpus.estimate_tokens(one[:200])
    assert coverage.tokens_unopened <= 1
    assert (coverage.units_read, coverage.units_inferred, coverage.units_searched) == (1, 1, 0)
    assert coverage.is_complete


def test_spans_that_overlap_count_once() -> None:
    corpus = corpus_of(PROSE)
    log, whole = ReadLog(corpus), corpus.documents[0].handle
    log.record_read_spans([whole[:300], whole[100:400], whole[:50]])
    log.record_searched_spans([whole[200:600], whole])
    coverage = log.compute_coverage()
    assert coverage.tokens_read == corpus.estimate_tokens(whole[:400])
    assert coverage.tokens_read + coverage.tokens_searched == coverage.tokens_in_scope


def test_what_a_part_of_a_run_did_is_the_runs() -> None:
    corpus = corpus_of(PROSE, "Other.")
    part = ReadLog(corpus.restrict_to_documents([corpus.documents[0].handle]))
    part.record_returned_text(corpus.documents[0].handle, PROSE)
    part.record_shown_text(PROSE)
    part.record_prompt("What?", (), "language model timeout")
    part.add_remark("a", "Mind this.")
    log = ReadLog(corpus)
    log.merge_sub_run(part)
    assert log.compute_coverage().tokens_read == corpus.estimate_tokens(corpus.documents[0].handle)
    assert log.remarks == ("Mind this.",)
    assert log.failures
    assert list(log.list_returned_spans(5)) == [corpus.documents[0].handle]
    assert [each.document_id for each in log.build_search_summary().documents] == ["doc-1"]
