"""Patterns of questions that have a plain shape."""

import re

ORDINALS = {"": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "2nd": 2, "3rd": 3}
RECORDS = r"(?:records|entries|rows|items|lines|instances|questions|messages|reviews|documents)"
_COUNTED = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_ORDINAL = r"(?: (?P<ordinal>second|third|fourth|fifth|2nd|3rd))?"
# Words that say nothing about a record beyond conditions on its fields.
SMALL_WORDS = frozenset(
    {
        *("after", "before", "between", "both", "date", "dates", "documents", "during", "from", "have", "include"),
        *("included", "made", "month", "record", "records", "since", "that", "there", "together", "total", "until"),
        *("user", "users", "were", "with", "written", "year"),
    }
)


def read_number(text: str) -> int | None:
    """`3` or `three`."""
    word = text.casefold()
    return int(text) if text.isdigit() else _COUNTED.index(word) if word in _COUNTED else None


def _pattern(text: str) -> re.Pattern[str]:
    """Parts joined by single spaces may be written over several lines."""
    return re.compile(text, re.IGNORECASE | re.DOTALL | re.VERBOSE)


PAIRS = _pattern(
    r"""\b pairs\ of\ (?:two\ )? (?:different\ |distinct\ )? (?P<unit>[\w ]{2,30}?) s?\b
    (?P<users>[^.]*?) ,? \ (?:where|such\ that|in\ which)\ (?P<rest>.+)"""
)
MONTHS_WITH = _pattern(
    r"""(?:in\ how\ many | (?:which|what)\ is\ the\ (?P<first>first))\ (?P<unit>months?|days?|dates?)\b (?P<what>.+)"""
)
GROUPS_OF_SIZE = _pattern(
    rf"""how\ many\ (?P<unit>\w+) (?:\ IDs?)? \ (?:have|has|had|wrote|sent)[ ]
    (?: (?P<how>exactly|at\ least|at\ most|more\ than|fewer\ than|less\ than)\ )?
    (?P<number>\d+|{"|".join(_COUNTED)})\ (?:{RECORDS}|record|entry|row|message|review)\b (?P<rest>.*)"""
)
RANK_OF_GROUP = _pattern(
    rf"""(?:which|what)\ (?P<unit>[\w ]{{2,30}}?)\ (?:has|have|had|wrote|sent|occurs\ in|appears\ in)
    (?:\ the)? {_ORDINAL.replace(" (", "[ ](")} \ (?P<most>most|fewest|least)\b"""
)
RANK_OF_LABEL = _pattern(
    rf"""(?:which|what) (?:\ (?:one\ )?of\ the|\ is\ the)? \ (?P<unit>labels?|class(?:es)?|categor(?:y|ies)|\w+)\b .*?
    {_ORDINAL.replace(" (", "[ ](")} [ ] (?P<most>most|least)[ -](?:common|frequent|often)"""
)
RANKING = _pattern(r"""\b (?:most|least)[ -](?:common|frequent|often|popular)""")
COMPARISON = _pattern(
    r"""\b is\ (?P<one>[^?]+?)\ more\ common,?\ less\ common,?\ or[ ]
    (?:as\ common\ as|the\ same\ (?:frequency\ )?as|equally\ common\ as)\ (?P<other>[^?]+)"""
)
MORE_COMMON = _pattern(
    r"""\b (?:is|are)\ (?P<one>[^?]+?)\ (?:more|less)\ (?:common|frequent)\ than\ (?P<other>[^?]+)"""
)
MORE_THAN = _pattern(r"""\b are\ there\ (?:more|fewer)\ (?P<one>[^?]+?)\ than\ (?P<other>[^?]+)""")
MEASURE = _pattern(
    r"""\b (?:what|which|how\ much) \ (?:is|was|are|were)\ the[ ]
    (?P<what>total|sum|average|mean|highest|largest|greatest|maximum|lowest|smallest|minimum)
    (?:\ (?:of|all|the))* \ (?P<column>[\w-]+) \b
    (?:\ (?:of|in|over)\ (?:all\ the|all|the|these)\ (?P<noun>[\w-]+))?"""
)
# What may stand in such a question besides its field and its conditions: nothing that restricts or groups.
MEASURING_WORDS = frozenset(
    {
        *("a", "after", "all", "and", "are", "before", "between", "consider", "during", "for", "from", "have"),
        *("having", "in", "is", "label", "made", "of", "on", "only", "or", "records", "since", "that", "the"),
        *("to", "until", "was", "were", "what", "which", "with"),
    }
)
MEASURES = {
    "total": "sum",
    "sum": "sum",
    "average": "average",
    "mean": "average",
    "highest": "maximum",
    "largest": "maximum",
    "greatest": "maximum",
    "maximum": "maximum",
    "lowest": "minimum",
    "smallest": "minimum",
    "minimum": "minimum",
}
HOW_MANY = _pattern(r"""\b how\ many\b""")
RECORD_PAIRS = _pattern(
    r"""^\s* (?:which|list|list\ all|find|find\ all|what\ are\ all) (?:\ the)? \ pairs\ of (?:\ two)? (?:\ different)?
    \ (?P<noun>[\w-]+) \b (?P<what>.+) $"""
)
SAME = re.compile(r"\bthe same ([\w-]+)", re.IGNORECASE)
CRITERION = _pattern(
    r"""^\s* (?P<how>how\ many|which|list\ all|list\ the|what\ are\ all|find\ all) (?:\ of)? (?:\ the)?
    \ (?P<noun>[\w -]{2,40}?)[ ]
    (?P<what>(?:are|is|were|was|have|has|had|mentions?|describes?|contains?|complain|talk|ask|says?|deal|reports?|
    that|which|who|about|with)\b .+) $"""
)
