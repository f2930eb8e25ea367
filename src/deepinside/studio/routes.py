"""The addresses below /studio: photos that people bring, the pictures of the page, and the files that they take along.

A photo comes as the body of a request, is never written to a disk, and is known by its id alone. Pictures and files are
asked for by the query of a `Wish`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import PurePath
from typing import TypeAlias
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from deepinside.core.errors import DeepInsideError
from deepinside.core.escape import terminal
from deepinside.studio.desk import Desk, check_bytes
from deepinside.studio.pictures import shown_objects_map, shown_photo, shown_seeds
from deepinside.studio.runs import Runs
from deepinside.studio.take import File, taken
from deepinside.studio.wish import Wish

Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]
LONGEST_NAME = 120  # characters of a file's name that are kept
# A picture of an id never changes, and is nobody else's.
HEADERS = {"Cache-Control": "private, max-age=3600", "X-Content-Type-Options": "nosniff"}


def routes(desk: Desk, runs: Runs) -> list[Route]:
    """All addresses, without the page itself."""

    def photo(request: Request) -> File:
        return File("", "image/jpeg", shown_photo(desk.photo(request.query_params["photo"])))

    def map(request: Request) -> File:
        found = desk.explanation(Wish.read(request.query_params))
        return File("", "image/png", shown_objects_map(found.objects, found.width, found.height))

    def seeds(request: Request) -> File:
        found = desk.explanation(Wish.read(request.query_params))
        return File("", "image/png", shown_seeds(found.objects, found.width, found.height))

    def take(request: Request) -> File:
        wish = Wish.read(request.query_params)
        return taken(request.path_params["kind"], desk.explanation(wish), desk.name(wish.photo))

    def of_run(request: Request) -> File:
        found = runs.photo(request.path_params["run"], request.path_params["key"])
        return File("", "image/jpeg", shown_photo(found))

    async def bring(request: Request) -> Response:
        name = _file_name(request.query_params.get("name", "photo"))
        content = await _body(request, name)
        id = await run_in_threadpool(desk.keep, content, name)
        return JSONResponse({"photo": id, "name": name})

    pages: dict[str, Callable[[Request], File]] = {
        "/studio/photo": photo,
        "/studio/map": map,
        "/studio/seeds": seeds,
        "/studio/take/{kind}": take,
        "/studio/run/{run:int}/{key:int}": of_run,
    }
    found = [Route(path, _told(partial(_answered, make))) for path, make in pages.items()]
    return [*found, Route("/studio/photos", _told(bring), methods=["POST"])]


def _told(endpoint: Endpoint) -> Endpoint:
    """The endpoint, with a mistake in what was asked as one sentence."""

    async def told(request: Request) -> Response:
        try:
            return await endpoint(request)
        except DeepInsideError as error:
            return JSONResponse({"error": str(error)}, status_code=400)
        except KeyError as error:
            return JSONResponse({"error": f"expected {error.args[0]!r} in the address, found none"}, status_code=400)

    return told


async def _answered(make: Callable[[Request], File], request: Request) -> Response:
    file = await run_in_threadpool(make, request)
    saved = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(file.name)}"} if file.name else {}
    return Response(file.content, media_type=file.kind, headers=HEADERS | saved)


async def _body(request: Request, name: str) -> bytes:
    """The file in a request. Raises `DeepInsideError` as soon as it is too large."""
    content = bytearray()
    async for part in request.stream():
        content += part
        check_bytes(len(content), name)
    return bytes(content)


def _file_name(given: str) -> str:
    """The last part of a name that somebody gives, as a line may hold it."""
    return terminal(PurePath(given.replace("\\", "/")).name)[-LONGEST_NAME:] or "photo"
