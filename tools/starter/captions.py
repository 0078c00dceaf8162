"""Words for a picture: many ways to say the same facts, so that the model learns words and not one sentence."""

from __future__ import annotations

import random

from tools.starter.facts import COLOURS, SHAPES, Facts, SceneFacts, ShapeFacts

SYNONYMS: dict[str, tuple[str, ...]] = {
    "circle": ("circle", "circle", "disc", "ball"),
    "square": ("square", "square", "box"),
    "diamond": ("diamond", "diamond", "rhombus"),
    "ring": ("ring", "ring", "donut"),
    "cross": ("cross", "cross", "plus sign"),
    "grey": ("grey", "gray"),
    "teal": ("teal", "turquoise", "cyan"),
    "purple": ("purple", "purple", "violet"),
    "small": ("small", "small", "little", "tiny"),
    "large": ("large", "big", "big", "huge"),
    "hills": ("green hills", "hills", "rolling hills", "grassy hills"),
    "dunes": ("desert dunes", "dunes", "the desert", "sand dunes"),
    "sea": ("the sea", "the sea", "the ocean", "the water"),
    "forest": ("a forest", "the forest", "the woods", "a pine forest"),
    "city": ("a city", "the city", "a city skyline", "a town"),
    "mountains": ("mountains", "mountains", "the mountains", "rocky mountains"),
    "snowy mountains": ("snowy mountains", "snowy mountains", "snow capped mountains", "snowy peaks"),
    "house": ("house", "house", "cottage", "cabin"),
    "pine tree": ("pine tree", "tree", "fir tree"),
    "sailboat": ("sailboat", "boat", "sailing boat", "ship"),
    "lighthouse": ("lighthouse",),
    "balloon": ("hot air balloon", "balloon"),
}
TIME_PHRASES = {
    "day": ("by day", "during the day", "on a sunny day", "in daylight", "under a blue sky"),
    "dawn": ("at dawn", "at dawn", "at sunrise", "in the early morning"),
    "sunset": ("at sunset", "at sunset", "at dusk", "in the evening"),
    "night": ("at night", "at night", "at midnight", "under the stars", "under a starry sky"),
}
TIME_WORDS = {
    "day": ("day", "daytime", "blue sky"),
    "dawn": ("dawn", "sunrise"),
    "sunset": ("sunset", "dusk"),
    "night": ("night", "starry night", "stars"),
}
OPENINGS = ("a picture of", "a painting of", "a poster of", "an illustration of", "a drawing of", "a photo of", "flat art of")
QUALITIES = (
    "masterpiece",
    "best quality",
    "highly detailed",
    "beautiful",
    "minimalist",
    "flat colours",
    "poster art",
    "sharp focus",
    "simple",
    "vector art",
    "4k",
    "detailed",
    "golden light",
    "calm",
    "wide view",
)
PLAIN_GROUNDS = ("background", "background", "ground", "backdrop")


def _word(name: str, rng: random.Random) -> str:
    return rng.choice(SYNONYMS.get(name, (name,)))


def _with_article(text: str) -> str:
    return ("an " if text[0] in "aeiou" else "a ") + text


def _shape_caption(facts: ShapeFacts, rng: random.Random) -> str:
    colour, ground = _word(facts.colour, rng), _word(facts.ground, rng)
    size = f"{_word(facts.size, rng)} " if facts.size else ""
    thing = f"{size}{colour} {_word(facts.shape, rng)}"
    place = {"": "", "left": "on the left", "right": "on the right", "top": "at the top", "bottom": "at the bottom"}[facts.place]
    back = f"{ground} {rng.choice(PLAIN_GROUNDS)}"
    style = rng.random()
    if style < 0.62:
        middle = f" {place}" if place else rng.choice(("", "", "", " in the middle", " in the center"))
        joint = rng.choice(("on", "on", "on", "over", "in front of"))
        return f"{_with_article(thing)}{middle} {joint} {_with_article(back)}"
    if style < 0.85:
        return ", ".join(part for part in (thing, place, back) if part)
    return f"{_with_article(back)} with {_with_article(thing)}" + (f" {place}" if place else "")


def _thing_phrase(facts: SceneFacts, rng: random.Random) -> str:
    colour = f"{_word(facts.thing_colour, rng)} " if facts.thing_colour else ""
    return f"{colour}{_word(facts.thing, rng)}"


def _scene_caption(facts: SceneFacts, rng: random.Random) -> str:
    land = _word(facts.land, rng)
    thing = _thing_phrase(facts, rng) if facts.thing else ""
    side = f"on the {facts.thing_side}" if facts.thing_side and rng.random() < 0.8 else ""
    body = ""
    if facts.body:
        body = f"the {facts.body}" if rng.random() < 0.6 else _with_article(facts.body)
        if facts.body_side and rng.random() < 0.8:
            body += f" on the {facts.body_side}"
    tail = [with_ for with_ in (body, "clouds" if facts.clouds else "") if with_]
    style = rng.random()
    if style < 0.18:
        parts = [thing + (f" {side}" if side else ""), land.removeprefix("the ").removeprefix("a "), rng.choice(TIME_WORDS[facts.time]), *tail]
        parts = [part for part in parts if part]
        rng.shuffle(parts)
        return ", ".join(parts)
    when = rng.choice(TIME_PHRASES[facts.time])
    if facts.time == "day" and rng.random() < 0.4:
        when = ""
    if thing:
        joint = {
            "balloon": ("over", "above"),
            "sailboat": ("on", "at"),
            "house": ("by", "in", "near", "in front of"),
            "pine tree": ("by", "in", "near", "in front of"),
            "lighthouse": ("by", "at", "near"),
        }[facts.thing]
        text = f"{_with_article(thing)}{' ' + side if side else ''} {rng.choice(joint)} {land}"
    else:
        text = land
    if style > 0.86 and when:
        return f"{rng.choice(TIME_WORDS[facts.time])} over {text}" + (f" with {' and '.join(tail)}" if tail else "")
    text += f" {when}" if when else ""
    if tail:
        text += (" with " if rng.random() < 0.75 else ", ") + " and ".join(tail)
    return text


def _made_up_word(rng: random.Random) -> str:
    return "".join(rng.choice("aeiou" if i % 2 else "bcdfghklmnprstvz") for i in range(rng.randint(4, 8)))


def caption(facts: Facts, rng: random.Random) -> str:
    """One caption, lower case. Openings, quality words and made-up words come at times, so that they do no harm in a prompt."""
    text = _shape_caption(facts, rng) if isinstance(facts, ShapeFacts) else _scene_caption(facts, rng)
    if rng.random() < 0.10:
        text = f"{rng.choice(OPENINGS)} {text}"
    if rng.random() < 0.10:
        text += ", " + ", ".join(rng.sample(QUALITIES, rng.randint(1, 3)))
    if rng.random() < 0.06:
        words = text.split(" ")
        words.insert(rng.randint(0, len(words)), _made_up_word(rng))
        text = " ".join(words)
    return text


def vocabulary() -> list[str]:
    """Every word that captions are made of, sorted: the words the model knows."""
    small_words = (
        "a an the on in at of by with and over near above front middle center left right top bottom during under early morning stars starry sky"
    )
    texts = [small_words, *COLOURS, *SHAPES, *SYNONYMS, *OPENINGS, *QUALITIES, *PLAIN_GROUNDS, "sun moon clouds"]
    for phrases in (*SYNONYMS.values(), *TIME_PHRASES.values(), *TIME_WORDS.values()):
        texts.extend(phrases)
    return sorted({word for text in texts for word in text.split() if word.isalpha()})
