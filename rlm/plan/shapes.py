"""Patterns of questions that have a plain shape."""

import re

ORDINALS = {"": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "2nd": 2, "3rd": 3}
RECORDS = r"(?:records|entries|rows|items|lines|instances|questions|messages|reviews|documents)"
_COUNTED = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_ORDINAL = r"(?: (?P<ordinal>second|third|fourth|fifth|2nd|3rd))?"


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
DIFFERENT = _pattern(
    r"""how\ many\ (?:(?P<different>different|distinct|unique)\ )? (?P<unit>[\w-]+) (?:\ IDs?)? \b (?P<rest>.*)"""
)
# What of no single record can be said: many numbers ("per customer"), an order ("the highest"), a difference.
NOT_OF_ONE = re.compile(
    r"\b(?:per|(?:for|in|of|by) (?:each|every)|by (?:day|date|week|month|year|user|customer)|most|least"
    r"|fewest|\w{3,}est|top|average|median|mean|duplicates?|the same|each other|one another|(?<!other )than|percent\w*"
    r"|share of|how many (?:more|fewer|less)|and (?:how many|which|who|what|when))\b|\ban? (?:day|week|month|year)\W*$"
    r"|%",
    re.IGNORECASE,
)
# "How many stars do the reviews have?" counts no reviews.
ASKING = re.compile(r"\b(?:do|does|did)\b", re.IGNORECASE)
AMOUNT = re.compile(r"\b(?:exactly|least|most|more|fewer|less)\b", re.IGNORECASE)
TWO_QUESTIONS = re.compile(
    r"\b(?:how many|which|what)\b.*(?:\bhow many\b|(?:,|\band\b|\?)\s*(?:and\s+)?(?:which|what|who|when)\b|\?\s+And\b)",
    re.IGNORECASE | re.DOTALL,
)
# A date may be of something else than what the records are dated by.
ANOTHER_TIME = re.compile(
    r"\b(?:closed|fixed|solved|resolved|ended|finished|due|paid|expired|returned|still|came|comes|week|half|early|late|days?"
    r"|beginning|start\w*|first|second|third|last|\d+(?:st|nd|rd|th))\b",
    re.IGNORECASE,
)
MENTIONED = re.compile(r"\b(?:mention\w*|about|refer\w*|name[sd]?|cite[sd]?)\b", re.IGNORECASE)
GROUPS_OF_SIZE = _pattern(
    rf"""how\ many\ (?P<unit>\w+) (?:\ IDs?)? \ (?:have|has|had|wrote|sent)[ ]
    (?: (?P<how>exactly|at\ least|at\ most|more\ than|fewer\ than|less\ than)\ )?
    (?P<number>\d+|{"|".join(_COUNTED)})\ (?P<noun>[\w-]+)\b (?P<rest>.*)"""
)
RANK_OF_GROUP = _pattern(
    rf"""(?:which|what)\ (?P<unit>[\w ]{{2,30}}?)\ (?:has|have|had|wrote|sent|occurs\ in|appears\ in)
    (?:\ the)? {_ORDINAL.replace(" (", "[ ](")} \ (?P<most>most|fewest|least)\b"""
)
RANK_OF_LABEL = _pattern(
    rf"""(?:which|what) (?:\ (?:one\ )?of\ the|\ is\ the)? \ (?P<unit>labels?|class(?:es)?|categor(?:y|ies)|\w+)\b .*?
    {_ORDINAL.replace(" (", "[ ](")} [ ] (?P<most>most|least)[ -](?:common|frequent|often)"""
)
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
_HOW = r"""(?P<how>how\ many|which|list\ (?:all|every|the)|what\ are(?:\ all)?|(?:find|name|count)\ (?:all|every))"""
# What texts do, besides what anything may do.
_SAID_OF = r"""(?:are|is|were|was|have|has|had)(?:n['’]t)?|(?:do|does|did)n['’]t|that|which|who|about|with|(?:
    mention|describe|contain|complain|talk|ask|say|deal|report|praise|thank|recommend|critici[sz]e|blame|request|want|
    wish|need|express|show|note|state|suggest|explain|discuss|concern|involve|include|refer|relate|warn|threaten|demand|
    sound|seem|object|agree|disagree|apologi[sz]e|announce|promise|propose|like|dislike|love|hate)s?"""
RECORD_PAIRS = _pattern(
    rf"""^\s* {_HOW} (?:\ of)? (?:\ the)? \ pairs\ of (?:\ the)? (?:\ two)? (?:\ different)?
    \ (?P<noun>[\w -]{{2,40}}?)[ ] (?P<what>(?:{_SAID_OF}|share|belong|from|of|in)\b .+) $"""
)
SAME = re.compile(r"\bthe same ([\w-]+)", re.IGNORECASE)
# A pair that is told by what its two have not in common, or by what each of them is.
UNLIKE = re.compile(r"\b(?:differ\w*|unlike|other|another|one)\b", re.IGNORECASE)
CRITERION = _pattern(
    rf"""^\s* {_HOW} (?:\ of)? (?:\ the)? \ (?P<noun>[\w -]{{2,40}}?)[ ] (?P<what>(?:{_SAID_OF})\b .+) $"""
)
# What may follow "how many records" and say nothing more.
NOTHING_MORE = re.compile(
    r"(?:\s+(?:all|altogether|are|do|documents?|files?|have|in|the|there|these|total|we|you))*\s*[?.!]*",
    re.IGNORECASE,
)
