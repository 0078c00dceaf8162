"""What one training picture shows: a frozen record, drawn by chance, from which picture and caption are both made."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (214, 45, 48),
    "orange": (242, 138, 38),
    "yellow": (250, 214, 62),
    "green": (62, 160, 78),
    "teal": (38, 170, 172),
    "blue": (46, 98, 214),
    "purple": (128, 66, 182),
    "pink": (244, 134, 178),
    "brown": (126, 80, 46),
    "white": (246, 246, 246),
    "grey": (142, 144, 150),
    "black": (26, 26, 30),
}
"""Colour name to sRGB, 0 to 255. Each picture's colours wander a little around these."""

SHAPES = ("circle", "square", "triangle", "star", "diamond", "heart", "ring", "cross")
SIZES = {"": (0.25, 0.30), "small": (0.155, 0.19), "large": (0.35, 0.40)}
"""Size word to the range of half the shape's width, as a share of the picture's shorter side."""

PLACES = {"": (0.5, 0.5), "left": (0.27, 0.5), "right": (0.73, 0.5), "top": (0.5, 0.27), "bottom": (0.5, 0.73)}
"""Place word to the shape's centre, as shares of width and height."""

TIMES = ("day", "dawn", "sunset", "night")
LANDS = ("mountains", "snowy mountains", "hills", "dunes", "sea", "forest", "city")
BODIES = ("", "sun", "moon")
SIDES = ("", "left", "right")
HOUSE_COLOURS = ("red", "blue", "white", "yellow", "green", "purple")
SAIL_COLOURS = ("red", "white", "yellow", "blue")
BALLOON_COLOURS = ("red", "yellow", "purple", "green", "blue", "orange")
THINGS = ("", "house", "pine tree", "sailboat", "lighthouse", "balloon")

THINGS_BY_LAND = {
    "mountains": ("house", "pine tree", "balloon"),
    "snowy mountains": ("house", "pine tree", "balloon"),
    "hills": ("house", "pine tree", "balloon"),
    "dunes": ("house", "balloon"),
    "sea": ("sailboat", "lighthouse", "balloon"),
    "forest": ("house", "balloon"),
    "city": ("balloon",),
}

HELD_OUT_OF = 12
"""One combination in this many is never trained on, so that the score is on unseen prompts."""


@dataclass(frozen=True, kw_only=True)
class ShapeFacts:
    """One flat shape on a flat ground."""

    colour: str
    shape: str
    ground: str
    size: str = ""
    place: str = ""

    @property
    def combination(self) -> str:
        return f"{self.colour} {self.shape} {self.ground}"


@dataclass(frozen=True, kw_only=True)
class SceneFacts:
    """One poster landscape."""

    land: str
    time: str
    body: str = ""
    body_side: str = ""
    thing: str = ""
    thing_colour: str = ""
    thing_side: str = ""
    clouds: bool = False

    @property
    def combination(self) -> str:
        return f"{self.land} {self.time} {self.body} {self.thing} {self.thing_colour}"


Facts = ShapeFacts | SceneFacts


def is_held_out(facts: Facts) -> bool:
    """True for the combinations that training never sees. Stable across machines and Python versions."""
    return hashlib.sha256(facts.combination.encode()).digest()[0] % HELD_OUT_OF == 0


def shape_facts(rng: random.Random) -> ShapeFacts:
    colour, ground = rng.sample(list(COLOURS), 2)
    return ShapeFacts(
        colour=colour,
        shape=rng.choice(SHAPES),
        ground=ground,
        size=rng.choice(("", "", "small", "large")),
        place=rng.choice(("", "", "", "left", "right", "top", "bottom")),
    )


def scene_facts(rng: random.Random) -> SceneFacts:
    land = rng.choice(LANDS)
    time = rng.choice(TIMES)
    body = rng.choice(("", "sun") if time == "day" else ("", "moon") if time == "night" else BODIES)
    thing = rng.choice(("", *THINGS_BY_LAND[land], *THINGS_BY_LAND[land]))
    colours = {"house": HOUSE_COLOURS, "sailboat": SAIL_COLOURS, "balloon": BALLOON_COLOURS}.get(thing, ("",))
    return SceneFacts(
        land=land,
        time=time,
        body=body,
        body_side=rng.choice(SIDES) if body else "",
        thing=thing,
        thing_colour=rng.choice(colours),
        thing_side=rng.choice(SIDES) if thing else "",
        clouds=time != "night" and rng.random() < 0.3,
    )


def draw_facts(rng: random.Random, shape_share: float = 0.5) -> Facts:
    """Facts drawn by chance: a shape picture with probability `shape_share`, else a landscape."""
    return shape_facts(rng) if rng.random() < shape_share else scene_facts(rng)
