"""What happens to finished pictures: they are made larger and faces restored, after drawing or with no drawing at all."""

from __future__ import annotations

from PIL import Image as Pillow

from backend import infotext
from backend.enlarging import Upscale
from backend.errors import BadRequest
from backend.inference.faces import find
from backend.inference.restoring import restored
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


def better_faces(run: Run, studio: Studio, picture: Pillow.Image, how: Upscale) -> Pillow.Image:
    """An RGB picture with its faces restored as `how` asks for; where none is found it is said. Raises AtelierError."""
    if not how.restores:
        return picture
    with run.stage("faces"):
        network = studio.networks.get(studio.library.restorers.find(how.faces))
        places = find(picture, studio.library.restorers.detector)
        if not places:
            where = f" in picture {len(run.pictures) + 1}" if run.request.image_count > 1 else ""
            run.notes.append(f"No face was found{where}, so nothing was restored.")
            return picture
        done = (run.drawn + (0.0 if run.request.draws else 1.0)) / run.request.image_count

        def tell(_: float) -> None:
            run.check()
            run.say("upscale", fraction=done)

        return restored(picture, places, network, how.faces_visibility, tell)


def enlarge(run: Run, studio: Studio) -> Result:
    """A request that only makes a picture larger. The picture's own metadata stays with it."""
    request = run.request
    assert request.image and request.upscale
    picture = studio.inputs.open(request.image.picture)
    parent = str(picture.info.get("parameters", ""))
    made = better_faces(run, studio, larger(run, studio, picture.convert("RGB"), request.upscale), request.upscale)
    with run.stage("save"):
        keep(run, studio, made, request.seed, parent, request, infotext.enlarging(request.upscale))
    run.drawn = 1
    return run.result(studio)
