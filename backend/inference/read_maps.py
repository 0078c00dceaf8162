"""A request that only reads maps: nothing is drawn, and its images are the maps."""

from __future__ import annotations

from PIL import Image

from backend import infotext
from backend.errors import BadPicture, BadRequest
from backend.inference.preprocess import Reader
from backend.inference.running import Run, Studio, keep
from backend.preprocessors import find, of_unit
from backend.types import Request, Result


def read_maps(run: Run, studio: Studio) -> Result:
    """One map for each unit, at the request's size. A stop is heard between them. Raises AtelierError."""
    request = run.request
    notes = []
    for number, control in enumerate(request.controls):
        run.say("control", fraction=number / len(request.controls))
        with run.stage("read"):
            made = map_of(studio.reader, request, number, request.width, request.height)
        with run.stage("save"):
            keep(run, studio, made, request.seed, "", request, infotext.reading(number, request))
        notes.append(find(control.preprocessor).note)
    run.drawn = 1
    return run.result(studio, notes=tuple(dict.fromkeys(note for note in notes if note)))


def map_of(reader: Reader, request: Request, number: int, width: int, height: int) -> Image.Image:
    """The map of unit `number`. What is wrong with it is said of that unit's own fields. Raises BadRequest or DamagedModel."""
    try:
        return reader.map(request.controls[number], request, width, height)
    except BadPicture as error:
        raise BadRequest({f"controls.{number}.pictures": error.sentence}) from error
    except BadRequest as error:
        raise of_unit(number, error) from error
