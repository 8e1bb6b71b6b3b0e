"""The appearance of vehicles: type, paint, and the details in which look-alikes differ."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

Colour = tuple[int, int, int]
"""Blue, green, red, 0..255, in neutral light."""

CLASS_NAMES = ("car", "truck", "bus")
BODY_CLASS = {
    "hatchback": "car",
    "sedan": "car",
    "estate": "car",
    "suv": "car",
    "pickup": "car",
    "van": "car",
    "box_truck": "truck",
    "tipper": "truck",
    "bus": "bus",
    "minibus": "bus",
}
_DECK = (
    *("hatchback",) * 4, *("sedan",) * 3, *("suv",) * 3, *("estate",) * 2, *("van",) * 2, "pickup", "pickup",
    "box_truck", "box_truck", "tipper", "bus", "minibus",
)  # fmt: skip
"""Bodies are drawn from this deck, so that every few vehicles include all classes."""

PAINTS: dict[str, Colour] = {
    "white": (228, 230, 232),
    "silver": (176, 174, 170),
    "grey": (108, 106, 104),
    "black": (34, 32, 31),
    "red": (36, 34, 178),
    "wine": (46, 24, 96),
    "blue": (158, 82, 28),
    "sky": (204, 158, 92),
    "navy": (88, 44, 24),
    "green": (70, 106, 38),
    "olive": (58, 98, 104),
    "teal": (120, 118, 30),
    "yellow": (40, 186, 226),
    "orange": (30, 104, 222),
    "beige": (150, 188, 208),
    "brown": (44, 66, 98),
    "violet": (128, 52, 92),
    "lime": (60, 196, 150),
}
ACCENTS: tuple[Colour, ...] = (
    (235, 235, 235), (30, 30, 30), (30, 30, 200), (30, 200, 235), (190, 90, 30), (60, 150, 50), (20, 120, 240),
    (150, 60, 150),
)  # fmt: skip
STRIPES = ("none", "side", "middle", "twin", "lower", "band")
ROOF_KINDS = ("none", "rack", "box", "taxi", "beacon", "sunroof")
"""What can be on a roof in the colour of the body; other roofs are `painted`."""


@dataclass(frozen=True)
class Look:
    """The appearance of one vehicle."""

    body: str
    paint: Colour
    stripe: str = "none"
    stripe_colour: Colour = (235, 235, 235)
    roof: str = "none"
    roof_colour: Colour = (30, 30, 30)
    sign: Colour | None = None
    """A panel on the sides (and on the rear of tall vehicles)."""
    glass: Colour = (62, 54, 48)
    wheel: Colour = (120, 120, 122)
    lower: Colour | None = None
    """Paint of the lower half of a two-tone body."""
    cargo: Colour = (225, 226, 226)
    """Paint of a truck's box or tray."""
    scale: float = 1.0

    @property
    def class_id(self) -> int:
        return CLASS_NAMES.index(BODY_CLASS[self.body])


def dealt_bodies(random: np.random.Generator) -> Iterator[str]:
    """Yields bodies from shuffled decks, one deck after the other, endlessly."""
    while True:
        yield from [_DECK[i] for i in random.permutation(len(_DECK))]


def random_look(random: np.random.Generator, body: str) -> Look:
    """A random look, not derived from the look of another vehicle."""
    name = str(random.choice(list(PAINTS)))
    paint = _varied(PAINTS[name], random, 12)
    light = random.random() < 0.55
    cargo = (216, 220, 222) if light else PAINTS[str(random.choice(list(PAINTS)))]
    look = Look(
        body,
        paint,
        lower=_other(paint, random) if random.random() < 0.18 else None,
        roof="painted" if random.random() < 0.2 else "none",
        roof_colour=_other(paint, random),
        cargo=_varied(cargo, random, 8),
        scale=float(random.uniform(0.96, 1.05)),
    )
    return with_details(look, random)


def with_details(look: Look, random: np.random.Generator) -> Look:
    """Returns `look` with other details: stripes, roof, sign, glass, wheels, and a slight change of the paint.

    Type, size, base colours, two-tone paint and a painted roof stay the same.
    """
    two_tone_roof = look.roof == "painted"
    return replace(
        look,
        paint=_varied(look.paint, random, 7),
        stripe=str(random.choice(STRIPES, p=(0.40, 0.13, 0.13, 0.12, 0.1, 0.12))),
        stripe_colour=_other(look.paint, random),
        roof="painted" if two_tone_roof else str(random.choice(ROOF_KINDS, p=(0.44, 0.16, 0.13, 0.07, 0.07, 0.13))),
        roof_colour=look.roof_colour if two_tone_roof else _other(look.paint, random),
        sign=_other(look.paint, random) if random.random() < (0.25 if look.class_id == 0 else 0.75) else None,
        glass=_varied(((62, 54, 48), (40, 38, 36), (96, 88, 78), (58, 66, 52))[random.integers(4)], random, 8),
        wheel=((120, 120, 122), (48, 48, 50), (188, 188, 190))[random.integers(3)],
    )


def shown_details(look: Look) -> tuple[str, str, Colour | None]:
    """Stripe, roof and sign as they are visible: not every body has room for each of them."""
    stripe, roof = look.stripe, look.roof
    if look.class_id == CLASS_NAMES.index("truck"):
        roof = roof if roof in ("beacon", "painted") else "none"
        if look.body == "tipper":
            stripe = "cab" if stripe in ("side", "lower", "band") else "none"
    elif look.class_id == CLASS_NAMES.index("bus"):
        roof = {"rack": "pods", "beacon": "pods", "sunroof": "none", "taxi": "none"}.get(roof, roof)
    return stripe, roof, look.sign


def _varied(colour: Colour, random: np.random.Generator, by: int) -> Colour:
    blue, green, red = (int(np.clip(value + random.integers(-by, by + 1), 8, 245)) for value in colour)
    return blue, green, red


def _other(paint: Colour, random: np.random.Generator) -> Colour:
    """An accent colour that contrasts with `paint`."""
    apart = [accent for accent in ACCENTS if sum(abs(a - b) for a, b in zip(accent, paint, strict=True)) > 150]
    return apart[int(random.integers(len(apart)))]
