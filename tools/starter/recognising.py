"""Say what a landscape shows, from its pixels alone, by its likeness to freshly drawn landscapes."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image, ImageFilter

from tools.starter.facts import SceneFacts, is_held_out, scene_facts
from tools.starter.measuring import lab
from tools.starter.pictures import draw
from tools.starter.sky import measure_sky

GRID = 32
"""Pictures are looked at as this many cells to each side."""

THING_ROWS, THING_REACH = slice(3, 31), 6
"""Things are looked for in strips of these rows, and this many cells to either side of their middle."""

COLOUR_ROWS, COLOUR_REACH = {"house": slice(20, 31), "sailboat": slice(15, 29), "balloon": slice(4, 18)}, 2
"""Where the coloured part of a thing is, in the same way."""

STRONG = 30.0
"""CIELAB difference from which on more does not say more."""

RIM = 3
"""No thing has its middle in this many outermost columns of the grid."""

APART = 4
"""This many columns from its middle, a thing is no longer what is seen."""

FOOLED = -0.4
"""A place with nothing that looks like something to within this lead is one more example of nothing."""

SCORE_FLOOR, LEAD_FLOOR = 0.4, 0.15
"""Least score of a land or colour, and least lead of a thing, to be named at all: drawn pictures reach 0.6 and 0.3, noise at most 0.3 for a land."""

LEFT_OF, RIGHT_OF = 0.42, 0.58
"""What lies beyond these shares of the width counts as on the left or on the right."""

SAMPLES = 1200
MOST_BLUR = 1.0
"""Samples are blurred by up to this many pixels of 128, since a model's pictures are softer than drawn ones."""


@dataclass(frozen=True)
class Likeness:
    """Tells names apart by features: kernel ridge regression with a Gaussian kernel (Saunders et al., 1998)."""

    names: tuple[str, ...]
    examples: np.ndarray
    weights: np.ndarray
    spread: float

    @classmethod
    def learn(cls, features: list[np.ndarray], labels: list[str], ridge: float = 1e-2) -> Likeness:
        """From N features of D values each, and N labels."""
        names, examples = tuple(sorted(set(labels))), np.stack(features).astype(np.float32)
        squares = _squared_distances(examples, examples)
        spread = 0.5 * float(np.median(squares))
        kernel = np.exp(-squares / spread) + ridge * np.eye(len(examples), dtype=np.float32)
        targets = np.array([[label == name for name in names] for label in labels], np.float32)
        return cls(names, examples, np.linalg.solve(kernel, targets), spread)

    def scores(self, features: np.ndarray) -> np.ndarray:
        """For features, N x D, a score for every name, N x names: near 1 for what it is, near 0 for what it is not."""
        return np.exp(-_squared_distances(features.astype(np.float32), self.examples) / self.spread) @ self.weights

    def name(self, features: np.ndarray) -> str:
        """The best name for one picture's features (D,), or "" where they are like nothing that was learned."""
        scores = self.scores(features[None])[0]
        return self.names[int(scores.argmax())] if scores.max() >= SCORE_FLOOR else ""

    def leads(self, features: np.ndarray) -> np.ndarray:
        """For features, N x D, by how much each name is likelier than "", N x names, about -1 to 1."""
        scores = self.scores(features)
        return scores - scores[:, [self.names.index("")]]


def _squared_distances(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    return np.maximum((some**2).sum(1)[:, None] + (others**2).sum(1) - 2 * some @ others.T, 0)


def _cells(picture: Image.Image) -> np.ndarray:
    """The picture as GRID x GRID x 3 in CIELAB, each cell the mean of its pixels, a and b stretched so that hue weighs more."""
    return lab(np.asarray(picture.convert("RGB").resize((GRID, GRID), Image.Resampling.BOX))) * (1.0, 1.4, 1.4)


def _standing_out(cells: np.ndarray) -> np.ndarray:
    """By how much each cell differs from its row's median, up to STRONG: it tells things from any land at any time of day."""
    return STRONG * np.tanh((cells - np.median(cells, axis=1, keepdims=True)) / STRONG)


def _strips(cells: np.ndarray, rows: slice, reach: int) -> np.ndarray:
    """What lies around each column of the grid, GRID x D; beyond the rim the outermost column goes on."""
    wide = np.pad(cells[rows], ((0, 0), (reach, reach), (0, 0)), mode="edge")
    return sliding_window_view(wide, 2 * reach + 1, axis=1).transpose(1, 0, 2, 3).reshape(GRID, -1)


def _ground(picture: Image.Image) -> np.ndarray:
    """Rows from a quarter down to the bottom: the range of their colours, how rough they are and how they change."""
    colours = lab(np.asarray(picture.convert("RGB").resize((64, 64), Image.Resampling.BOX)))[16:]
    levels = np.quantile(colours, (0.1, 0.3, 0.5, 0.7, 0.9), axis=1)
    rough, steep = (np.abs(np.diff(colours[..., 0], axis=axis)).mean(axis=1) for axis in (1, 0))
    return np.concatenate([levels.ravel(), 2 * rough, 2 * steep])


@dataclass(frozen=True)
class Sample:
    """A drawn landscape, its facts, and the column of the grid in which its thing has its middle, if it has one."""

    picture: Image.Image
    facts: SceneFacts
    column: int | None


def _sample(seed: str) -> Sample:
    """One landscape that is not held out, drawn a second time without its thing to see where that is."""
    rng = random.Random(seed)
    while is_held_out(facts := scene_facts(rng)):
        pass
    state, column = rng.getstate(), None
    picture = draw(facts, rng)
    soft = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0, MOST_BLUR)))
    if facts.thing:
        rng.setstate(state)
        bare = draw(replace(facts, thing=""), rng)
        differs = np.abs(np.asarray(picture, np.int16) - np.asarray(bare, np.int16)).sum(-1) > 30
        columns = np.flatnonzero(differs.sum(0) >= 2)
        column = int((columns[0] + columns[-1] + 1) / 2 / picture.width * GRID)
    return Sample(soft, facts, column)


def _learn_things(drawn: list[Sample], cells: list[np.ndarray]) -> Likeness:
    """Learn from strips about things and strips with nothing; then again with the empty strips that looked like something."""
    rng, features, labels, empty = np.random.default_rng(0), [], [], []
    for sample, part in zip(drawn, cells, strict=True):
        strips = _strips(_standing_out(part), THING_ROWS, THING_REACH)
        bare = [at for at in range(RIM, GRID - RIM) if sample.column is None or abs(at - sample.column) >= APART]
        if sample.column is not None:
            features.append(strips[sample.column])
            labels.append(sample.facts.thing)
        features.append(strips[rng.choice(bare)])
        labels.append("")
        empty.append(strips[bare])
    first = Likeness.learn(features, labels)
    for strips in empty:
        leads = np.delete(first.leads(strips), first.names.index(""), axis=1).max(axis=1)
        if leads.max() > FOOLED:
            features.append(strips[int(leads.argmax())])
            labels.append("")
    return Likeness.learn(features, labels)


def _learn_colours(thing: str, drawn: list[Sample], cells: list[np.ndarray]) -> Likeness:
    """Learn the colours of one thing from the cells about its middle."""
    known = [(sample, part) for sample, part in zip(drawn, cells, strict=True) if sample.facts.thing == thing]
    features = [_strips(part, COLOUR_ROWS[thing], COLOUR_REACH)[sample.column] for sample, part in known]
    return Likeness.learn(features, [sample.facts.thing_colour for sample, _ in known])


def _side(across: float) -> str:
    return "left" if across < LEFT_OF else "right" if across > RIGHT_OF else ""


class Recogniser:
    """Has learned from drawn samples, and then says of any picture what it shows. Learning takes some ten seconds."""

    def __init__(self, seed: str = "recogniser", samples: int = SAMPLES) -> None:
        drawn = [_sample(f"{seed}-{number}") for number in range(samples)]
        cells = [_cells(sample.picture) for sample in drawn]
        self._land = Likeness.learn([_ground(sample.picture) for sample in drawn], [sample.facts.land for sample in drawn])
        self._things = _learn_things(drawn, cells)
        self._colours = {thing: _learn_colours(thing, drawn, cells) for thing in COLOUR_ROWS}

    def measure_scene(self, picture: Image.Image) -> SceneFacts:
        """What a picture of a landscape, RGB, of any size, shows as words; "" for what is like nothing drawn, and for the middle.

        Clouds are not looked for.
        """
        cells, sky = _cells(picture), measure_sky(picture)
        leads = self._things.leads(_strips(_standing_out(cells), THING_ROWS, THING_REACH))[RIM:-RIM]
        column, name = np.unravel_index(int(leads.argmax()), leads.shape)
        thing, column = self._things.names[int(name)] if leads.max() >= LEAD_FLOOR else "", int(column) + RIM
        strips = _strips(cells, COLOUR_ROWS[thing], COLOUR_REACH) if thing in COLOUR_ROWS else None
        return SceneFacts(
            land=self._land.name(_ground(picture)),
            time=sky.time,
            body=sky.body,
            body_side=_side(sky.across),
            thing=thing,
            thing_colour="" if strips is None else self._colours[thing].name(strips[column]),
            thing_side=_side((column + 0.5) / GRID) if thing else "",
        )
