"""A table of 50,000 orders, the same every time it is made."""

import csv
import io
import random
from datetime import datetime, timedelta

_SEED = 40517
_ROWS = 50_000
_CUSTOMERS = 900
_SECONDS = 731 * 86_400
_BEGIN = datetime(2024, 1, 1)
_COLUMNS = ("order_id", "customer", "country", "product", "quantity", "unit_price", "ordered_at", "status")
_FIRST_NAMES = (
    "Anna Ben Clara David Elif Femi Greta Hugo Irene Jamal Kira Leon Mila Noor Otto Paula Quinn Rafael Sara Timo Ulla "
    "Viktor Wanda Xenia Yusuf Zoe"
)
_LAST_NAMES = (
    "Abbott Berg Castillo Dahl Eriksson Faure Gupta Hansen Ito Jansen Kaya Lopez Moreau Nilsson Okafor Peeters Quist "
    "Romano Silva Thomsen Urban Vargas Weber Xu Young Zimmermann"
)
# How often each is drawn.
_COUNTRIES = {
    "Germany": 24,
    "France": 18,
    "United States": 16,
    "Spain": 10,
    "Italy": 9,
    "Sweden": 6,
    "Japan": 5,
    "Brazil": 5,
    "Netherlands": 4,
    "Portugal": 2,
    "Iceland": 1,
}
_STATES = {"delivered": 78, "shipped": 9, "cancelled": 7, "returned": 4, "pending": 2}
_QUANTITIES = {1: 40, 2: 20, 3: 11, 4: 8, 5: 7, 8: 4, 10: 4, 12: 3, 25: 2, 40: 1}
# The usual price, and how often each is drawn.
_PRODUCTS = {
    "Desk Lamp": (39.90, 9),
    "Office Chair": (189.00, 6),
    "Standing Desk": (449.50, 3),
    "Notebook A5": (6.25, 16),
    "Fountain Pen": (27.80, 10),
    "Monitor Arm": (98.40, 5),
    "Footrest": (34.15, 7),
    "Whiteboard": (72.60, 4),
    "Headset": (119.99, 8),
    "Desk Mat": (18.75, 13),
    "Bookshelf": (134.20, 5),
    "Paper Tray": (11.30, 14),
}
_PRICE_FACTORS = (1, 1, 1, 1, 0.95, 0.9, 0.85, 1.05)


def orders_csv() -> bytes:
    """The file, with a heading."""
    source = random.Random(_SEED)
    customers = [_customer(source) for _ in range(_CUSTOMERS)]
    written = io.StringIO(newline="")
    writer = csv.writer(written)
    writer.writerow(_COLUMNS)
    for number in range(_ROWS):
        writer.writerow((100_001 + number, *_order(source, customers)))
    return written.getvalue().encode()


def _customer(source: random.Random) -> tuple[str, str]:
    name = f"{source.choice(_FIRST_NAMES.split())} {source.choice(_LAST_NAMES.split())}"
    return name, _drawn(source, _COUNTRIES)


def _order(source: random.Random, customers: list[tuple[str, str]]) -> tuple[object, ...]:
    name, country = customers[int(len(customers) * source.random() ** 1.6)]
    product = _drawn(source, {product: weight for product, (_, weight) in _PRODUCTS.items()})
    price = round(_PRODUCTS[product][0] * source.choice(_PRICE_FACTORS), 2)
    ordered_at = _BEGIN + timedelta(seconds=source.randrange(_SECONDS))
    quantity = source.choices(list(_QUANTITIES), list(_QUANTITIES.values()))[0]
    return name, country, product, quantity, f"{price:.2f}", ordered_at.isoformat(), _drawn(source, _STATES)


def _drawn(source: random.Random, weights: dict[str, int]) -> str:
    return source.choices(list(weights), list(weights.values()))[0]
