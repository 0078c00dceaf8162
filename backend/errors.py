"""The errors a person may see, each one sentence that says what happened and what to do next.

AtelierError
├── BadRequest        a value of the request cannot be used; `fields` says which and why
├── BadPicture        a picture that was handed in cannot be used
├── UnknownModel      no model of that name
├── DamagedModel      the model's folder cannot be loaded
├── Cancelled         somebody stopped the job
├── OutOfMemory       the device or the machine ran out of memory
├── NotFinite         the model produced numbers that are not a picture
├── SaveFailed        the picture is done but could not be written
├── WorkerDied        the worker process ended in the middle of the job
├── StartFailed       Atelier cannot start as asked
└── Unexpected        a fault in Atelier itself
"""

from __future__ import annotations


class AtelierError(Exception):
    """A sentence for the person at the screen."""

    @property
    def sentence(self) -> str:
        return str(self)


class BadRequest(AtelierError):
    """One or more values cannot be used."""

    def __init__(self, fields: dict[str, str]) -> None:
        super().__init__(" ".join(fields.values()))
        self.fields = fields
        """Name of the request's field to the sentence about it."""


class BadPicture(AtelierError):
    pass


class UnknownModel(AtelierError):
    pass


class DamagedModel(AtelierError):
    pass


class Cancelled(AtelierError):
    pass


class OutOfMemory(AtelierError):
    pass


class NotFinite(AtelierError):
    pass


class SaveFailed(AtelierError):
    pass


class WorkerDied(AtelierError):
    pass


class StartFailed(AtelierError):
    pass


class Unexpected(AtelierError):
    pass
