"""The demo shop's products and people.   simulate: [demo_catalog] → visitors, popularity → journey → traffic → sender.

Pure functions of count and seed. PostgreSQL is filled from them, and events carry the same ids, prices and categories.
Entry n does not depend on the count, so a larger catalog only adds to a smaller one.
"""

from __future__ import annotations

from random import Random
from typing import Any

CURRENCY = "EUR"

# category → (brands, nouns, lowest price, highest price in cents)
_RANGES: dict[str, tuple[tuple[str, ...], tuple[str, ...], int, int]] = {
    "Shoes": (("Strida", "Nordlauf", "Calzo"), ("Sneaker", "Boot", "Sandal", "Runner"), 2990, 18990),
    "Jackets": (("Wetterfest", "Nordlauf", "Altura"), ("Parka", "Windbreaker", "Rain Jacket"), 4990, 34900),
    "Shirts": (("Leinen & Co", "Altura", "Basica"), ("T-Shirt", "Polo", "Blouse", "Shirt"), 990, 7990),
    "Bags": (("Tragwerk", "Calzo", "Urbano"), ("Backpack", "Tote", "Messenger Bag"), 1990, 15900),
    "Audio": (("Klangholz", "Sonora", "Decibel"), ("Headphones", "Speaker", "Earbuds"), 1990, 39900),
    "Kitchen": (("Herdglut", "Cucina Viva", "Stahlwerk"), ("Pan", "Knife", "Kettle", "Grinder"), 1290, 19900),
    "Home": (("Stillraum", "Lumina", "Hygge Haus"), ("Lamp", "Blanket", "Cushion", "Vase"), 990, 12900),
    "Sports": (("Altura", "Gipfelsturm", "Velox"), ("Yoga Mat", "Dumbbell", "Bottle", "Helmet"), 890, 14900),
    "Books": (("Papyrus", "Seitenweise", "Foglio"), ("Novel", "Cookbook", "Atlas", "Guide"), 790, 4990),
    "Toys": (("Holzwurm", "Ludo", "Bauklotz"), ("Puzzle", "Train", "Kite", "Board Game"), 690, 8990),
}
_ADJECTIVES = ("Classic", "Light", "Urban", "Alpine", "Soft", "Pure", "Compact", "Vintage", "Bright", "Quiet", "Bold")
_COLORS = ("black", "white", "blue", "green", "red", "sand", "grey")
_FIRST_NAMES = (
    "Anna",
    "Ben",
    "Clara",
    "David",
    "Elif",
    "Finn",
    "Greta",
    "Hugo",
    "Ida",
    "Jonas",
    "Katja",
    "Luca",
    "Mia",
)
_LAST_NAMES = ("Adler", "Bauer", "Conti", "Dubois", "Engel", "Fischer", "Garcia", "Huber", "Jansen", "Kowalski", "Lang")
_PLANS = ("free", "free", "free", "basic", "premium")

COUNTRIES = ("DE", "AT", "CH", "FR", "NL", "GB", "US", "PL", "IT", "ES", "SE", "DK", "BR", "JP", "IN", "NP", "AU")
COUNTRY_WEIGHTS = (38, 8, 7, 9, 6, 7, 4, 5, 5, 5, 3, 3, 3, 2, 2, 1, 2)


def draw_products(count: int, seed: int) -> list[dict[str, Any]]:
    """Return products `p-1` to `p-count`: id, name, category, brand, price, currency, image_url, attributes."""
    return [_draw_product(number, seed) for number in range(1, count + 1)]


def draw_users(count: int, seed: int) -> list[dict[str, Any]]:
    """Return users `u-1` to `u-count`: id, email at example.com, name, traits."""
    return [draw_user(number, seed) for number in range(1, count + 1)]


def draw_user(number: int, seed: int) -> dict[str, Any]:
    """Return the user `u-number`."""
    rng = Random(f"user:{seed}:{number}")
    first, last = rng.choice(_FIRST_NAMES), rng.choice(_LAST_NAMES)
    return {
        "id": f"u-{number}",
        "email": f"{first}.{last}.{number}@example.com".lower(),
        "name": f"{first} {last}",
        "traits": {
            "plan": rng.choice(_PLANS),
            "newsletter": rng.random() < 0.4,
            "country": rng.choices(COUNTRIES, COUNTRY_WEIGHTS)[0],
        },
    }


def _draw_product(number: int, seed: int) -> dict[str, Any]:
    rng = Random(f"product:{seed}:{number}")
    category = rng.choice(tuple(_RANGES))
    brands, nouns, low, high = _RANGES[category]
    picture = f"images/products/{category.lower()}.svg" if rng.random() < 0.9 else None
    return {
        "id": f"p-{number}",
        "name": f"{rng.choice(_ADJECTIVES)} {rng.choice(nouns)} {number}",
        "category": category,
        "brand": rng.choice(brands),
        "price": _draw_price_cents(rng, low, high) / 100,
        "currency": CURRENCY,
        "image_url": picture,
        "attributes": {"color": rng.choice(_COLORS), "weight_g": rng.randrange(50, 3000, 10)},
    }


def _draw_price_cents(rng: Random, low: int, high: int) -> int:
    """Cheap products are common: the square of a uniform number. Prices end as in shops."""
    cents = low + int((high - low) * rng.random() ** 2)
    return cents - cents % 100 + rng.choice((99, 90, 95, 50, 0))
