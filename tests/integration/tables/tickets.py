"""Two tables as people export them, always the same: tickets with house spellings, and a stock list with a title."""

import csv
import io
import random
from datetime import date, timedelta

Rows = list[dict[str, str]]

_SEED = 5077
_BEGIN = date(2024, 1, 1)
_STATES = {"New": 5, "WIP": 20, "Esc. L2": 6, "Esc. L3": 2, "Closed (esc.)": 4, "Closed": 60, "Duplicate": 3}
_RATINGS = ("1", "2", "3", "4", "5", "", "", "n/a")
TITLE = "Warehouse stock; all amounts in CHF thousand; as of 30 June 2025"


def tickets() -> Rows:
    source = random.Random(_SEED)
    return [_ticket(source, number) for number in range(4_200)]


def stock() -> Rows:
    source = random.Random(_SEED + 1)
    return [
        {
            "article": f"{source.randrange(10**6):06d}",
            "name": f"Part {number % 1_300}",
            "site": source.choice(["BSL", "ZRH", "GVA", "LUG"]),
            "lifecycle": source.choice("AAAXN"),
            "counted": str(date(2025, 1, 1) + timedelta(days=source.randrange(180))),
            "quantity": str(source.randrange(500)),
            "value": f"{source.random() * 90:.3f}",
        }
        for number in range(3_000)
    ]


def written(rows: Rows, title: str = "") -> bytes:
    """The rows as a CSV file; a title stands alone above the header, with a blank line below it."""
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, list(rows[0]))
    if title:
        file.write(f"{title}\r\n\r\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue().encode()


def _ticket(source: random.Random, number: int) -> dict[str, str]:
    opened = _BEGIN + timedelta(days=source.randrange(500))
    state = source.choices(list(_STATES), list(_STATES.values()))[0]
    closed = opened + timedelta(days=source.randrange(20))
    return {
        "ticket": f"HD-{10_000 + number}",
        "opened": str(opened),
        "closed": str(closed) if state.startswith("Closed") else "",
        "queue": source.choice(["Billing", "Logistics", "Web", "Store 12", "Partners"]),
        "status": state,
        "priority": source.choice(["P1!", "P2", "P3", "P4"]),
        "channel": source.choice(["tel", "mail", "chat", "O'Hare desk"]),
        "topic": source.choice(["RFND", "DLVR", "ACCT", "BUG", "OTHR"]),
        "rating": source.choice(_RATINGS),
        "minutes": str(source.randrange(1, 900)),
        "summary": f"Customer {source.randrange(9_999)} says, “it is\nlate”, and asks for help. "
        * source.randrange(1, 4),
    }
