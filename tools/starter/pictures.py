"""Draw a picture from its facts: flat shapes, and landscapes in the manner of travel posters."""

from __future__ import annotations

import math
import random

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from tools.starter.facts import COLOURS, PLACES, SIZES, Facts, SceneFacts, ShapeFacts

OVERSAMPLE = 3
"""Drawn this many times larger and averaged down: smooth edges for little time."""

Colour = tuple[int, int, int]
Point = tuple[float, float]

SKIES: dict[str, tuple[Colour, Colour]] = {
    "day": ((74, 158, 232), (206, 234, 252)),
    "dawn": ((142, 170, 226), (252, 206, 194)),
    "sunset": ((88, 46, 122), (252, 146, 70)),
    "night": ((8, 12, 40), (42, 54, 108)),
}
"""Time of day to the sky's colour at the top and at the horizon."""

LIGHT = {"day": (1.0, 1.0, 1.0), "dawn": (0.92, 0.84, 0.88), "sunset": (0.78, 0.62, 0.62), "night": (0.36, 0.40, 0.56)}
"""How much of each colour channel the land gives back at that time."""

LAND_COLOURS: dict[str, Colour] = {
    "mountains": (120, 116, 132),
    "snowy mountains": (124, 140, 170),
    "hills": (96, 172, 78),
    "dunes": (228, 184, 112),
    "sea": (34, 112, 176),
    "forest": (38, 104, 66),
    "city": (92, 98, 124),
}
HORIZON = {"mountains": 0.66, "snowy mountains": 0.66, "hills": 0.62, "dunes": 0.64, "sea": 0.60, "forest": 0.62, "city": 0.72}


def _near(colour: Colour, rng: random.Random, spread: int = 8) -> Colour:
    red, green, blue = (max(0, min(255, c + rng.randint(-spread, spread))) for c in colour)
    return red, green, blue


def _times(colour: Colour, factor: tuple[float, float, float]) -> Colour:
    red, green, blue = (max(0, min(255, round(c * f))) for c, f in zip(colour, factor, strict=True))
    return red, green, blue


def _shade(colour: Colour, factor: float) -> Colour:
    return _times(colour, (factor, factor, factor))


def shape_outline(shape: str, cx: float, cy: float, half: float) -> list[list[Point]]:
    """The outline of a shape as polygons; the second one, if any, is a hole. `half` is half the width."""

    def around(count: int, radius: float, start: float = -math.pi / 2, every: float = 1.0) -> list[Point]:
        turn = 2 * math.pi / count
        return [
            (
                cx + radius * (every if i % 2 else 1.0) * math.cos(start + i * turn),
                cy + radius * (every if i % 2 else 1.0) * math.sin(start + i * turn),
            )
            for i in range(count)
        ]

    if shape == "circle":
        return [around(72, half)]
    if shape == "ring":
        return [around(72, half), around(72, half * 0.55)]
    if shape == "square":
        side = half * 0.9
        return [[(cx - side, cy - side), (cx + side, cy - side), (cx + side, cy + side), (cx - side, cy + side)]]
    if shape == "diamond":
        return [around(4, half * 1.08)]
    if shape == "triangle":
        return [[(cx, cy - half), (cx + half * 1.08, cy + half * 0.86), (cx - half * 1.08, cy + half * 0.86)]]
    if shape == "star":
        return [around(10, half * 1.1, every=0.46)]
    if shape == "cross":
        arm = half * 0.34
        corners = [
            (-arm, -half),
            (arm, -half),
            (arm, -arm),
            (half, -arm),
            (half, arm),
            (arm, arm),
            (arm, half),
            (-arm, half),
            (-arm, arm),
            (-half, arm),
            (-half, -arm),
            (-arm, -arm),
        ]
        return [[(cx + x, cy + y) for x, y in corners]]
    if shape == "heart":  # the well-known curve x = 16 sin^3 t, y = 13 cos t - 5 cos 2t - 2 cos 3t - cos 4t
        steps = [2 * math.pi * i / 80 for i in range(80)]
        return [
            [
                (
                    cx + half / 16.5 * 16 * math.sin(t) ** 3,
                    cy - half / 16.5 * (13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)) - half * 0.08,
                )
                for t in steps
            ]
        ]
    raise ValueError(f"no such shape: {shape}")


def _draw_shape(facts: ShapeFacts, width: int, height: int, rng: random.Random) -> Image.Image:
    ground = _near(COLOURS[facts.ground], rng)
    image = Image.new("RGB", (width, height), ground)
    pen = ImageDraw.Draw(image)
    half = min(width, height) * rng.uniform(*SIZES[facts.size])
    cx, cy = (share * side + rng.uniform(-0.025, 0.025) * side for share, side in zip(PLACES[facts.place], (width, height), strict=True))
    cx, cy = max(half * 1.05, min(width - half * 1.05, cx)), max(half * 1.05, min(height - half * 1.05, cy))
    for outline, fill in zip(shape_outline(facts.shape, cx, cy, half), (_near(COLOURS[facts.colour], rng), ground), strict=False):
        pen.polygon(outline, fill=fill)
    return image


def _sky(top: Colour, bottom: Colour, width: int, height: int, horizon: float) -> Image.Image:
    mix = np.clip(np.linspace(0, 1 / max(horizon, 0.1), height), 0, 1)[:, None, None]
    rows = np.asarray(top) * (1 - mix) + np.asarray(bottom) * mix
    return Image.fromarray(np.broadcast_to(rows, (height, width, 3)).round().astype(np.uint8).copy())


def _ridge(width: int, base: float, swing: float, waves: float, rng: random.Random) -> list[Point]:
    phase, second = rng.uniform(0, 9), rng.uniform(0, 9)
    return [
        (x, base + swing * (0.65 * math.sin(waves * x / width * 6.28 + phase) + 0.35 * math.sin(2.3 * waves * x / width * 6.28 + second)))
        for x in np.linspace(0, width, 40)
    ]


def _peaks(
    pen: ImageDraw.ImageDraw, width: int, height: int, base: float, high: float, fill: Colour, snow: Colour | None, rng: random.Random
) -> None:
    x = -width * rng.uniform(0.1, 0.3)
    while x < width * 1.1:
        wide, tall = min(width, height) * rng.uniform(0.42, 0.66), high * rng.uniform(0.72, 1.08)
        top_x, top_y = x + wide * rng.uniform(0.42, 0.58), base - tall
        pen.polygon([(x, base), (top_x, top_y), (x + wide, base)], fill=fill)
        pen.polygon([(top_x, top_y), (x + wide, base), (x + wide * 0.55, base)], fill=_shade(fill, 0.84))
        if snow:
            left, right = 0.36 * (top_x - x), 0.36 * (x + wide - top_x)
            low = top_y + 0.36 * tall
            pen.polygon(
                [
                    (top_x - left, low),
                    (top_x, top_y),
                    (top_x + right, low),
                    (top_x + right * 0.3, low - tall * 0.09),
                    (top_x, low + tall * 0.03),
                    (top_x - left * 0.4, low - tall * 0.08),
                ],
                fill=snow,
            )
        x += wide * rng.uniform(0.5, 0.72)


def _trees(pen: ImageDraw.ImageDraw, width: int, base: float, size: float, fill: Colour, rng: random.Random) -> None:
    x = -size * rng.random()
    while x < width + size:
        _pine(pen, x, base + size * rng.uniform(-0.05, 0.1), size * rng.uniform(0.8, 1.15), fill, None)
        x += size * rng.uniform(0.4, 0.55)


def _pine(pen: ImageDraw.ImageDraw, cx: float, base: float, tall: float, fill: Colour, trunk: Colour | None) -> None:
    if trunk:
        pen.rectangle([cx - tall * 0.05, base - tall * 0.2, cx + tall * 0.05, base], fill=trunk)
    foot = base - (tall * 0.14 if trunk else 0)
    for step in range(3):
        half, low = tall * (0.30 - 0.065 * step), foot - tall * 0.22 * step
        pen.polygon([(cx - half, low), (cx, low - tall * 0.42), (cx + half, low)], fill=_shade(fill, 1 + 0.10 * step))


def _draw_land(image: Image.Image, pen: ImageDraw.ImageDraw, facts: SceneFacts, rng: random.Random) -> None:
    width, height = image.size
    base = height * HORIZON[facts.land]
    colour = _times(_near(LAND_COLOURS[facts.land], rng, 6), LIGHT[facts.time])
    if facts.land in ("mountains", "snowy mountains"):
        snow = _times(_near((246, 248, 252), rng, 3), LIGHT[facts.time]) if facts.land == "snowy mountains" else None
        _peaks(pen, width, height, base + height * 0.08, height * 0.40, _shade(colour, 1.14), snow, rng)
        _peaks(pen, width, height, base + height * 0.12, height * 0.26, _shade(colour, 0.9), snow, rng)
        pen.polygon([(0, height), *_ridge(width, base + height * 0.10, height * 0.015, 0.6, rng), (width, height)], fill=_shade(colour, 0.6))
    elif facts.land in ("hills", "dunes"):
        for layer, drop in enumerate((0.0, 0.13, 0.27)):
            ridge = _ridge(width, base + height * drop, height * (0.045 - 0.008 * layer), rng.uniform(0.5, 0.9), rng)
            pen.polygon([(0, height), *ridge, (width, height)], fill=_shade(colour, 1.06 - 0.17 * layer))
    elif facts.land == "sea":
        pen.rectangle([0, base, width, height], fill=colour)
        for _ in range(16):
            x, y = rng.uniform(-0.05, 1) * width, base + (height - base) * rng.uniform(0.06, 0.97)
            pen.rectangle([x, y, x + width * rng.uniform(0.05, 0.13), y + height * 0.009], fill=_shade(colour, 1.28))
    elif facts.land == "forest":
        for drop, size, shade in ((0.03, 0.22, 1.16), (0.14, 0.27, 0.88), (0.27, 0.32, 0.62)):
            floor = base + height * drop
            pen.rectangle([0, floor - 1, width, height], fill=_shade(colour, shade))
            _trees(pen, width, floor + 1, height * size, _shade(colour, shade), rng)
    else:
        _draw_city(pen, width, height, base, colour, facts.time, rng)


def _draw_city(pen: ImageDraw.ImageDraw, width: int, height: int, base: float, colour: Colour, time: str, rng: random.Random) -> None:
    lit = (255, 222, 120) if time in ("night", "sunset") else _shade(colour, 1.35)
    for high, shade in ((0.42, 1.22), (0.27, 0.86)):
        x = -width * 0.04 * rng.random()
        while x < width:
            wide, tall = min(width, height) * rng.uniform(0.13, 0.21), height * high * rng.uniform(0.55, 1.0)
            top = base + height * 0.1 - tall
            pen.rectangle([x, top, x + wide, height], fill=_shade(colour, shade))
            cell = min(width, height) * 0.055
            for column in range(1, int(wide / cell)):
                for row in range(1, int(tall / cell)):
                    if (column + row) % 2 and rng.random() < 0.75:
                        left, high_edge = x + column * cell - cell * 0.2, top + row * cell
                        pen.rectangle([left, high_edge, left + cell * 0.45, high_edge + cell * 0.5], fill=lit)
            x += wide + min(width, height) * rng.uniform(0.0, 0.03)
    pen.rectangle([0, base + height * 0.1, width, height], fill=_shade(colour, 0.5))


def _draw_body(image: Image.Image, facts: SceneFacts, rng: random.Random) -> Image.Image:
    width, height = image.size
    radius = min(width, height) * rng.uniform(0.075, 0.095)
    low, high = {"": (0.2, 0.8), "left": (0.16, 0.34), "right": (0.66, 0.84)}[facts.body_side]
    cx, cy = width * rng.uniform(low, high), height * rng.uniform(0.15, 0.27)
    fill = (255, 226, 110) if facts.body == "sun" else (236, 238, 246)
    glow = Image.new("L", image.size, 0)
    ImageDraw.Draw(glow).ellipse([cx - radius * 1.5, cy - radius * 1.5, cx + radius * 1.5, cy + radius * 1.5], fill=70)
    image = Image.composite(Image.new("RGB", image.size, fill), image, glow.filter(ImageFilter.BoxBlur(radius * 0.35)))
    pen = ImageDraw.Draw(image)
    pen.ellipse([cx - radius, cy - radius, cx + radius, cy + radius], fill=fill)
    if facts.body == "moon":
        for x, y, size in ((-0.3, -0.2, 0.22), (0.28, 0.25, 0.28), (0.2, -0.42, 0.14)):
            spot = [cx + (x - size) * radius, cy + (y - size) * radius, cx + (x + size) * radius, cy + (y + size) * radius]
            pen.ellipse(spot, fill=(204, 208, 222))
    return image


def _draw_thing(pen: ImageDraw.ImageDraw, facts: SceneFacts, width: int, height: int, rng: random.Random) -> None:
    short = min(width, height)
    low, high = {"": (0.3, 0.7), "left": (0.2, 0.32), "right": (0.68, 0.8)}[facts.thing_side]
    cx, base, size = width * rng.uniform(low, high), height * rng.uniform(0.86, 0.93), short * rng.uniform(0.115, 0.15)
    light = tuple(0.45 + 0.55 * part for part in LIGHT[facts.time])
    tone = (light[0], light[1], light[2])
    colour = _times(_near(COLOURS.get(facts.thing_colour, (0, 0, 0)), rng), tone)
    if facts.thing == "house":
        pen.polygon(
            [(cx - size * 1.3, base - size * 1.1), (cx, base - size * 2.05), (cx + size * 1.3, base - size * 1.1)], fill=_times((96, 54, 44), tone)
        )
        pen.rectangle([cx - size, base - size * 1.12, cx + size, base], fill=colour)
        pen.rectangle([cx - size * 0.22, base - size * 0.66, cx + size * 0.22, base], fill=_times((62, 42, 34), tone))
        for side in (-1, 1):
            middle = cx + side * size * 0.6
            pen.rectangle([middle - size * 0.17, base - size * 0.78, middle + size * 0.17, base - size * 0.44], fill=(255, 226, 140))
    elif facts.thing == "pine tree":
        _pine(pen, cx, base, short * rng.uniform(0.40, 0.50), _times((28, 104, 58), tone), _times((96, 62, 40), tone))
    elif facts.thing == "sailboat":
        base = height * rng.uniform(0.78, 0.86)
        pen.polygon(
            [(cx - size, base - size * 0.4), (cx + size, base - size * 0.4), (cx + size * 0.6, base), (cx - size * 0.6, base)],
            fill=_times((116, 72, 46), tone),
        )
        pen.polygon(
            [(cx + size * 0.06, base - size * 2.3), (cx + size * 0.06, base - size * 0.52), (cx + size * 1.0, base - size * 0.52)], fill=colour
        )
        pen.polygon(
            [(cx - size * 0.06, base - size * 2.1), (cx - size * 0.06, base - size * 0.52), (cx - size * 0.8, base - size * 0.52)],
            fill=_shade(colour, 0.9),
        )
    elif facts.thing == "lighthouse":
        pen.polygon(
            [(cx - size * 1.9, height), (cx - size * 1.2, base - size * 0.2), (cx + size * 1.2, base - size * 0.2), (cx + size * 1.9, height)],
            fill=_times((84, 80, 84), tone),
        )
        foot, tall = base - size * 0.15, short * rng.uniform(0.42, 0.5)
        for stripe in range(5):
            lower, upper = foot - tall * stripe / 5, foot - tall * (stripe + 1) / 5
            wide, narrow = size * (0.62 - 0.06 * stripe), size * (0.62 - 0.06 * (stripe + 1))
            fill = _times((214, 52, 50) if stripe % 2 == 0 else (246, 246, 244), tone)
            pen.polygon([(cx - wide, lower), (cx + wide, lower), (cx + narrow, upper), (cx - narrow, upper)], fill=fill)
        top = foot - tall
        pen.rectangle([cx - size * 0.3, top - size * 0.42, cx + size * 0.3, top], fill=(255, 232, 130))
        pen.polygon(
            [(cx - size * 0.42, top - size * 0.42), (cx, top - size * 0.85), (cx + size * 0.42, top - size * 0.42)], fill=_times((60, 50, 56), tone)
        )
    elif facts.thing == "balloon":
        cy, radius = height * rng.uniform(0.3, 0.4), short * rng.uniform(0.125, 0.155)
        pen.polygon(
            [
                (cx - radius * 0.88, cy + radius * 0.45),
                (cx + radius * 0.88, cy + radius * 0.45),
                (cx + radius * 0.2, cy + radius * 1.5),
                (cx - radius * 0.2, cy + radius * 1.5),
            ],
            fill=_shade(colour, 0.9),
        )
        pen.ellipse([cx - radius, cy - radius, cx + radius, cy + radius], fill=colour)
        pen.ellipse([cx - radius * 0.42, cy - radius, cx + radius * 0.42, cy + radius], fill=_shade(colour, 1.18))
        pen.rectangle([cx - radius * 0.26, cy + radius * 1.6, cx + radius * 0.26, cy + radius * 1.95], fill=_times((112, 74, 46), tone))


def _draw_scene(facts: SceneFacts, width: int, height: int, rng: random.Random) -> Image.Image:
    top, bottom = (_near(colour, rng, 6) for colour in SKIES[facts.time])
    image = _sky(top, bottom, width, height, HORIZON[facts.land])
    pen = ImageDraw.Draw(image)
    if facts.time == "night":
        for _ in range(26):
            x, y, size = rng.random() * width, rng.random() * height * 0.5, min(width, height) * rng.uniform(0.006, 0.010)
            pen.ellipse([x - size, y - size, x + size, y + size], fill=(236, 236, 248))
    if facts.body:
        image = _draw_body(image, facts, rng)
        pen = ImageDraw.Draw(image)
    if facts.clouds:
        fill = _times((255, 252, 250), tuple(0.3 + 0.7 * part for part in LIGHT[facts.time]))  # type: ignore[arg-type]
        for _ in range(rng.randint(2, 3)):
            cx, cy, size = width * rng.uniform(0.08, 0.92), height * rng.uniform(0.08, 0.34), min(width, height) * rng.uniform(0.045, 0.07)
            for x, wide, tall in ((-1.3, 1.0, 0.55), (0.0, 1.35, 0.9), (1.3, 1.0, 0.6)):
                pen.ellipse([cx + (x - wide) * size, cy - tall * size, cx + (x + wide) * size, cy + tall * size], fill=fill)
    _draw_land(image, pen, facts, rng)
    _draw_thing(pen, facts, width, height, rng)
    return image


def draw(facts: Facts, rng: random.Random, width: int = 128, height: int = 128) -> Image.Image:
    """The picture of these facts, RGB, `width` x `height` pixels. `rng` decides what the facts leave open."""
    large = width * OVERSAMPLE, height * OVERSAMPLE
    image = _draw_shape(facts, *large, rng) if isinstance(facts, ShapeFacts) else _draw_scene(facts, *large, rng)
    return image.reduce(OVERSAMPLE)
