"""What happens to finished pictures: they are made larger, after drawing or with no drawing at all."""

from __future__ import annotations

from PIL import Image as Pillow

from backend import infotext
from backend.enlarging import Upscale
from backend.errors import BadRequest
from backend.inference.running import Run, Studio, keep
from backend.inference.upscale import enlarged
from backend.types import Result


def larger(run: Run, studio: Studio, picture: Pillow.Image, how: Upscale) -> Pillow.Image:
    """An RGB picture as `how` asks for. A stop is heard at every tile. Raises AtelierError."""
    try:
        how.size(*picture.size)
    except ValueError as error:
        raise BadRequest({"upscale": str(error)}) from error
    share = 1 / run.request.image_count

    def tell(done: float) -> None:
        run.check()
        run.say("upscale", fraction=share * (run.drawn + (0.0 if run.request.draws else done)))

    with run.stage("upscale"):
        return enlarged(picture, how, studio.library.upscalers, studio.networks, tell)


def enlarge(run: Run, studio: Studio) -> Result:
    """A request that only makes a picture larger. The picture's own metadata stays with it."""
    request = run.request
    assert request.image and request.upscale
    picture = studio.inputs.open(request.image.picture)
    parent = str(picture.info.get("parameters", ""))
    made = larger(run, studio, picture.convert("RGB"), request.upscale)
    with run.stage("save"):
        keep(run, studio, made, request.seed, parent, request, infotext.enlarging(request.upscale))
    run.drawn = 1
    return run.result(studio)
