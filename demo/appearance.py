"""How single vehicles look: type, paint, and the details by which look-alikes differ."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

Colour = tuple[int, int, int]
"""Blue, green, red; 0..255, in neutral light."""

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
_SHARES = {
    "hatchback": 0.20,
    "sedan": 0.18,
    "estate": 0.08,
    "suv": 0.15,
    "pickup": 0.07,
    "van": 0.10,
    "box_truck": 0.08,
    "tipper": 0.04,
    "bus": 0.05,
    "minibus": 0.05,
}

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
ROOFS = ("none", "rack", "box", "taxi", "beacon", "sunroof", "painted")


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
    """A panel on the sides (and on the rear of what is tall)."""
    glass: Colour = (62, 54, 48)
    wheel: Colour = (120, 120, 122)
    lower: Colour | None = None
    """Two-tone: the paint of the lower half."""
    scale: float = 1.0

    @property
    def class_id(self) -> int:
        return CLASS_NAMES.index(BODY_CLASS[self.body])


def random_look(random: np.random.Generator) -> Look:
    """The look of a vehicle that nobody was made to resemble."""
    body = str(random.choice(list(_SHARES), p=np.array(list(_SHARES.values())) / sum(_SHARES.values())))
    name = str(random.choice(list(PAINTS)))
    paint = _varied(PAINTS[name], random, 12)
    look = Look(body, paint, scale=float(random.uniform(0.96, 1.05)))
    return with_details(look, random)


def with_details(look: Look, random: np.random.Generator) -> Look:
    """`look` with details of its own: stripes, roof, sign, glass, wheels."""
    accent = _other(look.paint, random)
    return replace(
        look,
        paint=_varied(look.paint, random, 7),
        stripe=str(random.choice(STRIPES, p=(0.45, 0.13, 0.12, 0.1, 0.1, 0.1))),
        stripe_colour=accent,
        roof=str(random.choice(ROOFS, p=(0.38, 0.12, 0.1, 0.06, 0.06, 0.12, 0.16))),
        roof_colour=_other(look.paint, random),
        sign=_other(look.paint, random) if random.random() < (0.25 if look.class_id == 0 else 0.75) else None,
        glass=_varied(((62, 54, 48), (40, 38, 36), (96, 88, 78), (58, 66, 52))[random.integers(4)], random, 8),
        wheel=((120, 120, 122), (48, 48, 50), (188, 188, 190))[random.integers(3)],
        lower=_other(look.paint, random) if random.random() < 0.15 else None,
    )


def _varied(colour: Colour, random: np.random.Generator, by: int) -> Colour:
    blue, green, red = (int(np.clip(value + random.integers(-by, by + 1), 8, 245)) for value in colour)
    return blue, green, red


def _other(paint: Colour, random: np.random.Generator) -> Colour:
    """An accent that stands out from `paint`."""
    apart = [accent for accent in ACCENTS if sum(abs(a - b) for a, b in zip(accent, paint, strict=True)) > 150]
    return apart[int(random.integers(len(apart)))]
