"""What lies in the models folders, and the downloads that bring more: the routes of the Models tab."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Body, HTTPException

from backend.catalogue import is_here
from backend.downloads import Download, Downloads
from backend.errors import AtelierError, BadRequest
from backend.families import FAMILIES
from backend.inventory import Inventory
from backend.library import Library
from backend.sources import FOLDERS, TITLES, Source, typed


def router(downloads: Downloads, library: Library) -> APIRouter:
    """`/api/models`, and routes under `internal/downloads`."""
    routes = APIRouter()
    inventory = Inventory(library, downloads.folders)

    def answered(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        try:
            return work()
        except AtelierError as error:
            raise HTTPException(422, error.sentence) from error

    @routes.get("/api/models")
    def models() -> list[dict[str, Any]]:
        return inventory.view()

    @routes.get("/internal/downloads")
    def listing() -> dict[str, Any]:
        return {
            "offline": downloads.offline, "folder": str(downloads.folders[0]), "free": downloads.free(), "token": downloads.token.origin,
            "downloads": [_download(one) for one in reversed(downloads.all)],
        }  # fmt: skip

    @routes.get("/internal/downloads/catalogue")
    def catalogue() -> dict[str, Any]:
        return {
            "kinds": [{"id": kind, "title": title, "folder": FOLDERS[kind]} for kind, title in TITLES.items()],
            "entries": [{**_source(source), "here": is_here(source, downloads.folders)} for source in downloads.catalogue.sources],
        }

    @routes.post("/internal/downloads/look")
    def look(body: dict[str, Any]) -> dict[str, Any]:
        def work() -> dict[str, Any]:
            source = asked(body)
            choice = downloads.look(source)
            return {
                **_source(source), "bytes": choice.bytes, "licence": choice.licence, "gated": choice.gated,
                "name": choice.name or choice.files[0].target,
                "files": [{"name": file.target, "bytes": file.bytes} for file in choice.files],
            }  # fmt: skip

        return answered(work)

    @routes.post("/internal/downloads")
    def start(body: dict[str, Any]) -> dict[str, Any]:
        return answered(lambda: {"id": downloads.start(asked(body)).id})

    @routes.post("/internal/downloads/token")
    def token(token: object = Body(embed=True)) -> dict[str, Any]:
        def work() -> dict[str, Any]:
            downloads.token.keep(token if isinstance(token, str) else " ?")
            return {"token": downloads.token.origin}

        return answered(work)

    @routes.post("/internal/downloads/{identifier}/{action}")
    def act(identifier: str, action: str) -> dict[str, Any]:
        actions = {"cancel": downloads.cancel, "retry": downloads.retry, "remove": downloads.remove}

        def work() -> dict[str, Any]:
            if action not in actions:
                raise BadRequest({"action": f"A download can be told to {', '.join(actions)}."})
            actions[action](identifier)
            return {}

        return answered(work)

    def asked(body: dict[str, Any]) -> Source:
        """The catalogue's entry, or what was typed in. Raises BadRequest."""
        entry = body.get("entry")
        if entry is None:
            return typed(str(body.get("text", "")), str(body.get("kind", "")))
        found = downloads.catalogue.find(str(entry))
        if found is None:
            raise BadRequest({"entry": "The catalogue has no such entry. Reload the page."})
        return found

    return routes


def _source(source: Source) -> dict[str, Any]:
    titles = {row.id: row.title for row in FAMILIES}
    return {
        "id": source.id, "title": source.title, "kind": source.kind,
        "family": source.family, "family_title": titles.get(source.family, source.family),
        "where": source.where, "bytes": source.bytes, "licence": source.licence, "gated": source.gated, "memory_gb": source.memory_gb,
        "sentence": source.sentence, "folder": source.place, "repository": source.repository,
    }  # fmt: skip


def _download(download: Download) -> dict[str, Any]:
    return {
        "id": download.id, **{name: value for name, value in _source(download.source).items() if name in ("title", "kind", "where", "family_title")},
        "entry": download.source.id, "state": download.state, "sentence": download.sentence, "total": download.total, "received": download.received,
        "speed": download.speed, "seconds_left": download.seconds_left, "cancelling": download.cancelling and download.busy,
        "checked": download.checked, "target": str(download.target or ""),
    }  # fmt: skip
