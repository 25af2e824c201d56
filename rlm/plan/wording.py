"""Pieces of a question that plans are made of: its labels, conditions, and the form it wants its answer in."""

import re
from dataclasses import dataclass

from rlm.operators.dates import WRITTEN, read_month
from rlm.operators.labels import MAX_LABELS, Label, LabelSet
from rlm.operators.table import LABEL, Condition, Op
from rlm.plan.layout import Layout

_QUOTED = r"['\"“‘`]([^'\"”’`\n]{1,60})['\"”’`]"
_DEFINED = re.compile(_QUOTED + r"\s*(?:\(([^()\n]{1,400})\)|[:–-]\s+([^;\n]{1,400})(?=;|\n|$))")
_LISTED = re.compile(r"\b(?:labels|classes|categories|types|topics)\b[^:.?\n]{0,60}:\s*([^.?\n]+)", re.IGNORECASE)
_LINE = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s*([^:\n]{1,60}):\s+(\S[^\n]*)$", re.MULTILINE)
_COMMA = re.compile(r"\s*(?:,|;|\bor\b|\band\b)\s*")
_FORM = re.compile(
    r"\s*(?:Give|Write|Return|State) (?:the|your) (?:final )?answer as ['\"“‘](.+?)['\"”’]\.?\s*$", re.DOTALL
)
_MONTHS = (
    r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|June?|July?|Aug(?:ust)?|Sept?(?:ember)?|Oct(?:ober)?"
    r"|Nov(?:ember)?|Dec(?:ember)?)\b\.?"
)
_DATED = re.compile(
    rf"{WRITTEN}|\b(?:{_MONTHS}|May) \d{{4}}\b|\b\d{{1,2}}/\d{{4}}\b|\b\d{{4}}-\d\d\b|\b{_MONTHS}"
    r"|\b(?:after|before|since|until|between|from|in|of|during) May\b(?! \d)|\b(?:19|20)\d\d\b"
)
_BLANK = re.compile(r"<[^<>]*>")
_WHEN = {
    "(?<!on or )before": (Op.BEFORE,),
    "(?<!on or )after": (Op.AFTER,),
    "(?:since|on or after)": (Op.FROM,),
    "(?:until|on or before)": (Op.UNTIL,),
    "(?<!or )on": (Op.FROM, Op.UNTIL),
}
"""How a day is compared, by the words that stand before it."""

# In place of what a condition was made of.
_BETWEEN = "\0"
_NEAR_A_DATE = re.compile(
    r"\b(?:day|week|month|year|hour)s?\s+(?:before|after|since|until|from)\b"
    r"|\b(?:before|after|in|during|until)\s+(?:and|or)\s+(?:before|after|on|during)\b|\bon\s+and\s+(?:before|after)\b"
    r"|\b(?:first|second|third|last|\d+(?:st|nd|rd|th))\s+(?:\w+\s+)?(?:day|week|half|quarter)s?\b"
    r"|\b(?:first|second|third|last)\s+(?:\w+\s+)?months?\s+of\b|\b\d+(?:st|nd|rd|th)\b",
    re.IGNORECASE,
)
_MORE_OR_LESS_BEFORE = re.compile(
    r"\b(?:at (?:least|most)|up to|over|under|above|below|between|more|less|fewer|greater|higher|lower|older|younger"
    r"|than|before|after|since|until)(?: an?| the)?\s+$",
    re.IGNORECASE,
)
_MORE_OR_LESS_AFTER = re.compile(
    r"\s*[+%/&*]|-\d|:\d|\.[*x]|\s+(?:plus|up|upwards?|to|through|thru)\b|\s+(?:or|and) (?:more|less|fewer|higher|lower"
    r"|above|below|over|under|up|older|younger|better|worse|later|earlier|greater|smaller)\b",
    re.IGNORECASE,
)


class UnreadableError(Exception):
    """A question has a condition that cannot be read: what a plan made of the rest would answer is another question."""


@dataclass(frozen=True)
class Wording:
    """A question in parts. `asked` is the question proper; `form` the template it wants filled in, or empty."""

    text: str
    asked: str
    form: str = ""


def take_apart(question: str) -> Wording:
    """The part after "Question:", or after labels are defined, without the sentence that says how to answer."""
    defined = list(_DEFINED.finditer(question))
    begin = defined[-1].end() if len(defined) > 1 else _end_of_list(question)
    asked = re.split(r"\bQuestion:\s*", question[begin:])[-1].strip(" .;\n")
    form = _FORM.search(asked)
    return Wording(question, _FORM.sub("", asked).strip(), form[1].strip() if form else "")


def _end_of_list(question: str) -> int:
    """Where a list of labels in front of the question ends; 0 where there is none, or nothing after it."""
    lines = list(_LINE.finditer(question))
    listed = _LISTED.search(question)
    end = lines[-1].end() if len(lines) > 1 else listed.end() if listed is not None else 0
    return end if question[end:].strip(" .;\n") else 0


def in_form(form: str, said: str) -> str:
    """`Label: <label>` with the answer in place of the blank; a comparison's blank takes its verdict alone."""
    return _BLANK.sub(lambda _: said, form, count=1) if _BLANK.search(form) else said


def find_labels(text: str) -> LabelSet | None:
    """The labels that a text defines or lists: `'name' (what belongs to it); …`, `labels: a, b, c`, or a list."""
    found = {match[1]: (match[2] or match[3] or "").strip() for match in _DEFINED.finditer(text)}
    if len(found) < 2:
        found = {match[1].strip(): match[2].strip() for match in _LINE.finditer(text)}
    if len(found) < 2:
        listed = _LISTED.search(text)
        names = _COMMA.split(listed[1]) if listed else []
        found = {name.strip(" '\"“”‘’`"): "" for name in names if name.strip(" '\"“”‘’`")}
    if not 2 <= len(found) <= MAX_LABELS or any(len(name) > 60 or len(name.split()) > 5 for name in found):
        return None
    return LabelSet(tuple(Label(name, definition) for name, definition in found.items()))


def dates_in(text: str) -> list[str]:
    """Days, months and years that a text names, as it writes them."""
    return [match[0] for match in _DATED.finditer(text)]


def mentioned(labels: LabelSet, text: str) -> list[str]:
    """Labels that a text names, in the order it names them; a name inside a longer one that is named does not count."""
    spans: dict[int, tuple[int, str]] = {}
    taken: list[tuple[int, int]] = []
    for name in sorted(labels.names, key=len, reverse=True):
        for match in re.finditer(rf"(?<!\w){re.escape(name)}(?:s|es)?(?!\w)", text, re.IGNORECASE):
            if not any(start <= match.start() < end for start, end in taken):
                taken.append(match.span())
                spans[match.start()] = (match.end(), name)
    return [spans[start][1] for start in sorted(spans)]


def label_conditions(labels: LabelSet | None, text: str) -> tuple[Condition, ...]:
    """That a record has the labels that a text names: the one, or one of several."""
    names = list(dict.fromkeys(mentioned(labels, text))) if labels is not None else []
    if not names:
        return ()
    return (Condition(LABEL, Op.IS if len(names) == 1 else Op.IN, tuple(names)),)


def field_conditions(layout: Layout, text: str) -> tuple[Condition, ...]:
    """Conditions on written fields: `of the users 1, 2 and 3`, `user 7`, and dates.

    Raises `UnreadableError` for what is compared in other ways, said of one field twice, or of several with `or`.
    """
    conditions = [*_date_conditions(layout, text)]
    for column in sorted(layout.columns, key=len, reverse=True):  # `Customer ID` is no `Customer`
        if column in layout.dates or column == layout.text_column:
            continue
        name = re.escape(column.removesuffix("s"))
        value = r"(?=\S*\d)[\w.@-]+"
        wanted = rf"\b{name}s?(?: IDs?)? ({value}(?:\s*(?:,|\band\b|\bor\b|,\s*and\b)\s*(?:{name}s? )?{value})*)"
        ranged = re.search(rf"\b{name}s?\b[^.?]{{0,20}}? ID from (\S+) to (\S+)", text, re.IGNORECASE)
        match = re.search(wanted, text, re.IGNORECASE)
        found = ranged or match
        if found is not None and _compared(text, found):
            raise UnreadableError(f"{found[0]!r} is compared in a way that is not known")
        if found is not None and conditions and re.fullmatch(r"(?:year|month|day|date)s?", column, re.IGNORECASE):
            raise UnreadableError(f"{found[0]!r} may be a date")
        if found is not None and re.search(wanted, text[found.end() :], re.IGNORECASE):
            raise UnreadableError(f"{column} is named twice")
        if ranged:
            conditions.append(read_condition(column, Op.AT_LEAST, ranged[1]))
            conditions.append(read_condition(column, Op.AT_MOST, ranged[2].rstrip(",.")))
        elif match:
            parts = re.split(r"\s*,\s*(?:and\s+)?|\s+(?:and|or)\s+", match[1])
            named = (re.sub(rf"^{name}s? ", "", part, flags=re.IGNORECASE).rstrip(".-") for part in parts)
            values = tuple(value for value in named if value)
            conditions.append(read_condition(column, Op.IS if len(values) == 1 else Op.IN, *values))
        if found is not None:
            text = f"{text[: found.start()]}{_BETWEEN}{text[found.end() :]}"
    if len(conditions) > 1 and re.search(rf"{_BETWEEN}[^.?]*\bor\b[^.?]*{_BETWEEN}", text):
        raise UnreadableError("one of several conditions is enough")
    return tuple(conditions)


def _compared(text: str, found: re.Match[str]) -> bool:
    """Whether a value is said to be more or less than written: `priority 2 or higher`, `above 3`, `1,250`, `1-3`."""
    before, after = text[: found.start()], text[found.end() :]
    return (
        _MORE_OR_LESS_BEFORE.search(before) is not None
        or _MORE_OR_LESS_AFTER.match(after) is not None
        or re.search(r"\d,\d|\d-\d|\d\.?x|\*", found[0]) is not None
    )


def date_column(layout: Layout, text: str) -> str:
    """The column that a text's dates are of: the one that it names, where there are several.

    Raises `UnreadableError` where a date may be of any of them.
    """
    if len(layout.dates) == 1:
        return layout.dates[0]
    said = set(re.findall(r"\w+", text.casefold()))
    named = [(set(re.findall(r"[^\W_]+", column.casefold())), column) for column in layout.dates]
    fitting = sorted(((len(words), column) for words, column in named if words <= said), reverse=True)
    if fitting and (len(fitting) == 1 or fitting[0][0] > fitting[1][0]):
        return fitting[0][1]
    if dates_in(text) or re.search(r"\b(?:months?|days?|dates?)\b", text):
        raise UnreadableError(f"a date may be of {' or '.join(layout.dates)}")
    return layout.dates[0]


def _date_conditions(layout: Layout, text: str) -> list[Condition]:
    if not layout.dates:
        return []
    if _NEAR_A_DATE.search(text):
        raise UnreadableError("a date is only where another one is counted from")
    column = date_column(layout, text)
    between = re.search(rf"\b(?:from|between) ({WRITTEN}) (?:to|and|until) ({WRITTEN})", text)
    if between:
        return [read_condition(column, Op.FROM, between[1]), read_condition(column, Op.UNTIL, between[2])]
    found = []
    for words, ops in _WHEN.items():
        match = re.search(rf"\b(?i:{words}) ({WRITTEN})", text)
        found += [read_condition(column, op, match[1]) for op in ops] if match else []
    month = re.search(
        r"\b(?:in|of|during) (?:the month )?(?:of )?(\d{1,2}/\d{4}|\d{4}-\d\d|[A-Z][a-z]{2,8} \d{4})\b", text
    )
    year = re.search(r"\b(?:in|of|during) (?:the year )?(\d{4})\b(?!-)", text)
    if month and read_month(month[1]):
        found.append(read_condition(column, Op.MONTH, month[1]))
    elif year:
        found.append(read_condition(column, Op.YEAR, year[1]))
    return found


def read_condition(column: str, op: Op, *values: str) -> Condition:
    """A condition with values as a question writes them. Raises `UnreadableError`."""
    try:
        return Condition(column, op, values)
    except ValueError as error:
        raise UnreadableError(str(error)) from error
