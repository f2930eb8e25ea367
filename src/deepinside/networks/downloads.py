"""Published weights from the hubs' caches or over the network, with one quick look whether the hub can be reached.

The hubs' own clients try again for a minute where there is no connection, once for each file. Here a hub that does not
answer within `SECONDS` is taken to be out of reach, and what is in its cache is used.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from threading import Event, RLock, Thread
from typing import TypeVar
from urllib import request
from urllib.error import HTTPError
from urllib.parse import urlparse

import torch

from deepinside.core.errors import DeepInsideError, brief
from deepinside.core.escape import terminal

Made = TypeVar("Made")

SECONDS = 4.0  # that a server has for its first answer, names and certificates included
OFFLINE = RLock()


def from_hugging_face(spec: str, make: Callable[[], Made]) -> Made:
    """What `make` returns, which may download from the Hugging Face hub or read its cache.

    Raises `DeepInsideError` in place of any exception of the hub.
    """
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE or is_reachable(constants.ENDPOINT):
        return _made(spec, make)
    with _hub_offline():
        return _made(spec, make, f"no connection to {urlparse(constants.ENDPOINT).netloc}, and not in the cache")


def from_torch_hub(spec: str, url: str, make: Callable[[], Made]) -> Made:
    """What `make` returns, which may download a file into the cache of `torch.hub`.

    Raises `DeepInsideError` in place of any exception.
    """
    cached = Path(torch.hub.get_dir()) / "checkpoints" / PurePosixPath(urlparse(url).path).name
    if cached.exists() or is_reachable(url):
        return _made(spec, make)
    raise _failed(spec, f"no connection to {urlparse(url).netloc}, and not in the cache")


def is_reachable(url: str, seconds: float = SECONDS) -> bool:
    """Whether a server answers in time, whatever it says.

    >>> is_reachable("http://127.0.0.1:9", seconds=1.0)
    False
    """
    answered = Event()
    # In a thread, since looking a name up takes no timeout.
    asking = Thread(target=_ask, args=(url, seconds, answered), daemon=True)
    asking.start()
    asking.join(seconds)
    return answered.is_set()


def _ask(url: str, seconds: float, answered: Event) -> None:
    try:
        with request.urlopen(request.Request(url, method="HEAD"), timeout=seconds):
            answered.set()
    except HTTPError as error:
        error.close()
        answered.set()
    except OSError as error:
        # The hubs' clients bring certificates of their own, so it is for them to judge.
        if isinstance(getattr(error, "reason", None), ssl.SSLCertVerificationError):
            answered.set()


@contextmanager
def _hub_offline() -> Iterator[None]:
    """The Hugging Face libraries read their caches alone in this block."""
    from huggingface_hub import constants

    with OFFLINE:
        before, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, True
        try:
            yield
        finally:
            constants.HF_HUB_OFFLINE = before


def _made(spec: str, make: Callable[[], Made], reason: str | None = None) -> Made:
    try:
        return make()
    except DeepInsideError:
        raise
    except Exception as error:
        raise _failed(spec, reason or terminal(brief(error))) from None


def _failed(spec: str, reason: str) -> DeepInsideError:
    return DeepInsideError(
        f"{spec}: its weights have to be downloaded, and that failed ({reason}); check the name and the network, give "
        "a local file with --weights, or use lite0, which needs no download"
    )
