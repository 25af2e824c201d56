"""What computes the answer to a question over records, once each record's label is known.

Plain Python over rows like `{"label": "location", "user": "76063", "date": "Oct 14, 2022"}`. Tests check every gold by
it, and the oracle sends the text of this file into the sandbox as the program of a root model.
"""

import re

MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


def day(date: str) -> str:
    """A date that sorts: `2022-10-14`."""
    return f"{date[8:]}-{MONTHS.index(date[:3]) + 1:02d}-{date[4:6]}"


def counted(values: list[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for value in values:
        counts[value] = counts.get(value, 0) + 1
    return counts


def top(counts: dict[str, int]) -> str:
    return max(counts, key=lambda value: counts[value])


def compute(kind: str, text: str, rows: list[dict[str, str]]) -> str:
    """The answer to a question over records as it is asked for."""
    asked = text.split("Question: ")[1].split(" Give the final answer as")[0]
    if kind == "pairs":
        return paired(asked, rows)
    labels = re.findall(r"'([^']+)'", asked)
    users = re.findall(r"\b\d{5}\b", asked)
    months = [each[3:] + "-" + each[:2] for each in re.findall(r"\b\d\d/\d{4}\b", asked)]
    days = [day(each) for each in re.findall(r"[A-Z][a-z]{2} \d\d, \d{4}", asked)]
    if users:
        rows = [row for row in rows if row["user"] in users]
    if months:
        rows = [row for row in rows if day(row["date"])[:7] in months]
    if days:
        rows = [row for row in rows if days[0] <= day(row["date"]) <= days[1]]
    by_label = counted([row["label"] for row in rows])
    if kind in ("count_label", "subset_count", "count_in_month", "count_in_range"):
        return f"Answer: {by_label.get(labels[0], 0)}"
    if kind in ("most_common_label", "subset_label"):
        return f"Label: {top(by_label)}"
    if kind == "least_common_label":
        return f"Label: {min(by_label, key=lambda label: by_label[label])}"
    if kind == "compare_labels":
        one, other = by_label.get(labels[0], 0), by_label.get(labels[1], 0)
        verdict = "more common than" if one > other else "less common than" if one < other else "same frequency as"
        return f"Answer: label '{labels[0]}' is {verdict} label '{labels[1]}'"
    if kind == "most_records":
        return f"User: {top(counted([row['user'] for row in rows]))}"
    if kind == "user_of_label":
        return f"User: {top(counted([row['user'] for row in rows if row['label'] == labels[0]]))}"
    first, second = [counted([day(row["date"])[:7] for row in rows if row["label"] == label]) for label in labels]
    return f"Answer: {sum(count > second.get(each, 0) for each, count in first.items())}"


def paired(asked: str, rows: list[dict[str, str]]) -> str:
    """All pairs of users that are asked for, lower ID first."""
    low, high = re.findall(r"\b\d{5}\b", asked)
    (least, label), (other_least, other) = re.findall(r"at least (\d+) records? with the label '(.+?)'", asked)
    having = counted([row["user"] for row in rows if row["label"] == label])
    having_other = counted([row["user"] for row in rows if row["label"] == other])
    one = {user for user, count in having.items() if count >= int(least) and low <= user <= high}
    two = {user for user, count in having_other.items() if count >= int(other_least) and low <= user <= high}
    pairs = {(min(each, another), max(each, another)) for each in one for another in two if each != another}
    return "\n".join(f"({each}, {another})" for each, another in sorted(pairs))
