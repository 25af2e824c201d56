"""What computes the answer to a question over records, once each record's label is known.

Plain Python over rows like `{"label": "location", "user": "76063", "date": "Oct 14, 2022"}`. Tests check every gold by
it, and the oracle sends the text of this file into the sandbox as the program of a root model.
"""

import re

MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
ROW = re.compile(r"Date: (\w{3} \d\d, \d{4}) \|\| User: (\d{5}) \|\| Instance: ")


def month(date):  # type: ignore[no-untyped-def]
    return f"{MONTHS.index(date[:3]) + 1:02d}/{date[8:]}"


def day(date):  # type: ignore[no-untyped-def]
    return f"{date[8:]}-{MONTHS.index(date[:3]) + 1:02d}-{date[4:6]}"


def counted(values):  # type: ignore[no-untyped-def]
    counts = {}
    for value in values:
        counts[value] = counts.get(value, 0) + 1
    return counts


def top(counts):  # type: ignore[no-untyped-def]
    return max(counts, key=lambda value: counts[value])


def compute(kind, text, rows):  # type: ignore[no-untyped-def]
    """The answer to a question of aggregation as it is asked for, or the list of pairs."""
    asked = text.split("Question: ")[1].split(" Give the final answer as")[0]
    if kind.startswith("task_"):
        return "\n".join(f"({low}, {high})" for low, high in paired(asked, rows))
    labels = re.findall(r"'([^']+)'", asked)
    users = re.findall(r"\b\d{5}\b", asked)
    months = re.findall(r"\b\d\d/\d{4}\b", asked)
    days = [day(each) for each in re.findall(r"[A-Z][a-z]{2} \d\d, \d{4}", asked)]
    if users:
        rows = [row for row in rows if row["user"] in users]
    if months:
        rows = [row for row in rows if month(row["date"]) in months]
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
    if kind == "most_common_date":
        year, number, of_month = day(top(counted([row["date"] for row in rows]))).split("-")
        return f"Date: {number}/{of_month}/{year}"
    one, other = [counted([month(row["date"]) for row in rows if row["label"] == label]) for label in labels]
    return f"Answer: {sum(count > other.get(each, 0) for each, count in one.items())}"


def paired(asked, rows):  # type: ignore[no-untyped-def]
    """All pairs of users that a task over pairs asks for, lower ID first."""
    scope = re.search(r"with an ID from (\d+) to (\d+)", asked)
    by_user = {}
    for row in rows:
        if not scope or scope[1] <= row["user"] <= scope[2]:
            by_user.setdefault(row["user"], []).append(row)
    asked = asked.split(". Give every pair once")[0]
    both = re.search(r"where both users have (.+)$", asked)
    one, other = (
        (both[1], both[1]) if both else re.search(r"of the two has (.+), and the other has (.+)$", asked).groups()
    )
    first = {user for user in by_user if meets(one, by_user[user])}
    second = {user for user in by_user if meets(other, by_user[user])}
    users = sorted(first | second)
    return [
        (low, high)
        for at, low in enumerate(users)
        for high in users[at + 1 :]
        if (low in first and high in second) or (low in second and high in first)
    ]


def meets(condition, rows):  # type: ignore[no-untyped-def]
    """True if a user with these rows meets a condition in words."""
    dated = re.search(r", and all of a user's records with the label '(.+?)' are (after|before) (.+?) \(", condition)
    if dated:
        limit = day(dated[3])
        days = [day(row["date"]) for row in rows if row["label"] == dated[1]]
        if any((each <= limit) if dated[2] == "after" else (each >= limit) for each in days):
            return False
        condition = condition.split(", and all of a user's records")[0]
    counts = counted([row["label"] for row in rows])
    either = re.search(r"at least one record with the label '(.+)' or the label '(.+)'", condition)
    if either:
        return either[1] in counts or either[2] in counts
    for how, wanted, label in re.findall(r"(at least|exactly) (\d) records? with the label '(.+?)'", condition):
        count = counts.get(label, 0)
        if count < int(wanted) or (how == "exactly" and count != int(wanted)):
            return False
    return True
