from dataclasses import replace

from rlm.llm.cache import compute_reply_key
from rlm.llm.port import SubCall
from rlm.llm.profiles import ModelProfile

PROFILE = ModelProfile("m", 8_000, 500)
CALL = SubCall("Be brief.", "What is it?", 50, {"type": "object"}, "classify")


def test_whatever_decides_the_reply_is_part_of_its_key() -> None:
    keys = {
        compute_reply_key("ann", "", PROFILE, CALL),
        compute_reply_key("bob", "", PROFILE, CALL),
        compute_reply_key("ann", "hr", PROFILE, CALL),
        compute_reply_key("ann", "", replace(PROFILE, name="other"), CALL),
        compute_reply_key("ann", "", replace(PROFILE, revision="2"), CALL),
        compute_reply_key("ann", "", PROFILE, replace(CALL, system="Be long.")),
        compute_reply_key("ann", "", PROFILE, replace(CALL, prompt="What is that?")),
        compute_reply_key("ann", "", PROFILE, replace(CALL, schema=None)),
        compute_reply_key("ann", "", PROFILE, replace(CALL, max_tokens=51)),
        compute_reply_key("ann", "", PROFILE, replace(CALL, system="", prompt="Be brief.What is it?")),
    }
    assert len(keys) == 10


def test_who_asks_and_how_much_at_once_is_no_part_of_it() -> None:
    assert compute_reply_key("ann", "", PROFILE, CALL) == compute_reply_key(
        "ann", "", PROFILE, replace(CALL, purpose="llm_query")
    )
    assert compute_reply_key("ann", "", PROFILE, CALL) == compute_reply_key(
        "ann", "", replace(PROFILE, parallel_calls=99), CALL
    )


def test_half_a_surrogate_pair_has_a_key() -> None:
    assert len(compute_reply_key("ann", "", PROFILE, replace(CALL, prompt="\ud800"))) == 64
