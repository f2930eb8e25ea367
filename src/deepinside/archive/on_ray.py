"""A run on Ray Data: the three stages of `explain` on the cores and GPUs of this machine or of a cluster.

    show      files -> what the network is shown of them            tasks, on any core
    see       batches of photos -> scores and maps                  one network a worker, on a GPU where there are any
    answer    what the network said of a photo -> its rows          tasks, on any core

A unit of work is a batch of photos that go through the network together, the same ones whatever the number of workers
and the order in which they finish: so are the results, up to the rounding of different processors. Photos are read by
the machine that works on them, so all of them have to reach the files under the same paths.
"""

from __future__ import annotations

import copy
import logging
import os
import pickle
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.metadata import packages_distributions
from socket import create_connection
from threading import current_thread, main_thread
from time import perf_counter
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from deepinside.archive.stages import Answer, Asked
from deepinside.archive.wanted import Wanted
from deepinside.core.errors import DeepInsideError, brief
from deepinside.explanations.explain import BATCH, outcome_of, see_each, show
from deepinside.explanations.localizer import Views
from deepinside.networks.classifier import Classifier

if TYPE_CHECKING:
    import ray

WORK = pa.schema([("work", pa.large_binary())])  # a pickled unit of work in each row
TASKS = 2000  # of each stage, at most: every one costs some milliseconds, and its bookkeeping some memory
PATIENCE = 10.0  # seconds, for a cluster to be reached
GPU_BATCH = 16  # photos that go through a network on a GPU together


def answers_on_ray(
    classifier: Classifier,
    photos: Sequence[Wanted],
    asked: Asked,
    *,
    workers: int | None = None,
    address: str | None = None,
) -> Iterator[Answer]:
    """The answers, in the order in which they are found.

    Args:
        classifier: travels to the workers with its weights.
        photos: all of them.
        asked: of every photo.
        workers: how many networks work at the same time; by default one for each GPU, or else for each two cores.
        address: of a cluster that is running, as `ray.init` takes it; by default one is started on this machine.

    Raises `DeepInsideError` where Ray is missing, there is no cluster at the address, or the cluster fails.
    """
    with _cluster(address) as ray:
        try:
            yield from _answers(ray, classifier, photos, asked, workers)
        except ray.exceptions.RayError as error:
            raise DeepInsideError(f"Ray stopped ({brief(error)}); the same command goes on where it was") from None


def _answers(
    ray: Any, classifier: Classifier, photos: Sequence[Wanted], asked: Asked, workers: int | None
) -> Iterator[Answer]:
    cores, gpus = (int(ray.cluster_resources().get(kind, 0)) for kind in ("CPU", "GPU"))
    blocks = _blocks(photos, asked, GPU_BATCH if gpus else BATCH)
    workers = min(workers or gpus or max(cores // 2, 1), len(blocks))
    # Without a GPU, workers and tasks share the cores; some of them are left for the tasks, however few there are.
    share = min(1.0, max(cores, 1) / (workers + 1))
    network = {"num_gpus": min(1.0, gpus / workers)} if gpus else {"num_cpus": share}
    data = ray.data.from_arrow(blocks)
    shared = _Shared(ray.put(_portable(classifier, asked)))
    data = data.map_batches(_Stage(_show, shared), batch_size=1, batch_format="pyarrow", num_cpus=share)
    data = data.map_batches(
        _See, fn_constructor_args=(shared,), concurrency=workers, batch_size=1, batch_format="pyarrow", **network
    )
    data = data.map_batches(_Stage(_answer, shared), batch_size=1, batch_format="pyarrow", num_cpus=share)
    for batch in data.iter_batches(batch_size=None, batch_format="pyarrow"):
        for work in batch["work"]:
            yield from pickle.loads(work.as_py())


def _blocks(photos: Sequence[Wanted], asked: Asked, size: int) -> list[pa.Table]:
    """The photos in batches, a row each, in blocks of several rows, of which each becomes a task."""
    size = size if asked.is_few(photos) else 1
    batches = [photos[start : start + size] for start in range(0, len(photos), size)]
    rows = -(-len(batches) // TASKS)
    return [_packed(batches[start : start + rows]) for start in range(0, len(batches), rows)]


def _packed(units: Sequence[Any]) -> pa.Table:
    return pa.Table.from_pylist([{"work": pickle.dumps(unit, protocol=5)} for unit in units], WORK)


@dataclass(frozen=True)
class _Shared:
    """Where the network and what is asked lie; a worker that is started anew finds them there as well."""

    where: ray.ObjectRef[Any]


@dataclass(frozen=True)
class _Stage:
    """A function of the classifier, what is asked and a unit of work, for the rows of a block."""

    work: Callable[[Classifier, Asked, Any], Any]
    shared: _Shared

    def __call__(self, block: pa.Table) -> pa.Table:
        classifier, asked = _fetched(self.shared)
        return _packed([self.work(classifier, asked, pickle.loads(unit.as_py())) for unit in block["work"]])


class _See:
    """A worker with a network of its own, which it keeps from batch to batch."""

    def __init__(self, shared: _Shared):
        import ray
        import torch

        classifier, self.asked = _fetched(shared)
        self.classifier = classifier.to("cuda") if ray.get_gpu_ids() and torch.cuda.is_available() else classifier

    def __call__(self, block: pa.Table) -> pa.Table:
        return _packed([_see(self.classifier, self.asked, pickle.loads(unit.as_py())) for unit in block["work"]])


@lru_cache(1)
def _fetched(shared: _Shared) -> tuple[Classifier, Asked]:
    """The network and what is asked, once in every process."""
    import ray

    found: tuple[Classifier, Asked] = pickle.loads(ray.get(shared.where))
    return found


def _portable(classifier: Classifier, asked: Asked) -> bytes:
    """Both for other processes; the code of a network that is in no installed package travels with it."""
    from ray import cloudpickle

    if classifier.device.type != "cpu":
        classifier = copy.deepcopy(classifier).to("cpu")
    names = {type(module).__module__ for module in classifier.fast.modules()}
    own = [sys.modules[name] for name in names if name in sys.modules and not _is_installed(sys.modules[name])]
    for module in own:
        cloudpickle.register_pickle_by_value(module)
    try:
        packed: bytes = cloudpickle.dumps((classifier, asked))
    except Exception as error:  # of whatever the network holds
        raise DeepInsideError(
            f"expected a network that can be sent to other processes, but {classifier.name} cannot ({brief(error)}); "
            "use the engine local"
        ) from None
    finally:
        for module in own:
            cloudpickle.unregister_pickle_by_value(module)
    return packed


def _is_installed(module: ModuleType) -> bool:
    """Whether a worker can import it: it belongs to Python or to an installed package."""
    name = module.__name__.partition(".")[0]
    return name == __package__.partition(".")[0] or name in sys.stdlib_module_names or name in packages_distributions()


def _show(classifier: Classifier, asked: Asked, batch: Sequence[Wanted]) -> Any:
    began = perf_counter()
    shown = [show(classifier, asked.localizer, each.path) for each in batch]
    return batch, shown, perf_counter() - began


def _see(classifier: Classifier, asked: Asked, work: Any) -> Any:
    batch, shown, seconds = work
    began = perf_counter()
    choices = [asked.choice(classifier, each.classes) for each in batch]
    seen = see_each(classifier, asked.localizer, shown, choices, asked.most)
    shown = [replace(each, images=()) if isinstance(each, Views) else each for each in shown]  # which are done with
    return batch, shown, seen, seconds + perf_counter() - began


def _answer(classifier: Classifier, asked: Asked, work: Any) -> list[Answer]:
    batch, shown, seen, seconds = work
    began = perf_counter()
    outcomes = [
        outcome_of(classifier, asked.localizer, each.path, views, said, asked.most)
        for each, views, said in zip(batch, shown, seen, strict=True)
    ]
    share = (seconds + perf_counter() - began) / len(batch)
    return [asked.answer(each, replace(one, seconds=share)) for each, one in zip(batch, outcomes, strict=True)]


@contextmanager
def _cluster(address: str | None) -> Iterator[Any]:
    """Ray, connected for the time of the block; our signal handlers stay as they are."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anybody
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # its other lines are for those who develop it
    try:
        import ray
        import ray.data
    except ImportError:
        raise DeepInsideError("the engine ray needs an extra: pip install 'deepinside[ray]'") from None
    _check_reachable(address)
    is_ours = not ray.is_initialized()
    in_main = current_thread() is main_thread()
    handlers = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)} if in_main else {}
    try:
        if is_ours:
            ray.init(address, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        where = f"at {address}" if address else "on this machine"
        raise DeepInsideError(
            f"expected a Ray cluster {where}, could not connect to one ({brief(error)}); "
            "where it asks for a token, set RAY_AUTH_MODE=token, and see Ray's documentation"
        ) from None
    try:
        for each, handler in handlers.items():
            signal.signal(each, handler)
        _quiet(ray)
        yield ray
    finally:
        if is_ours:
            ray.shutdown()


def _check_reachable(address: str | None) -> None:
    """Raise `DeepInsideError` where nobody listens at HOST:PORT, since Ray would ask for minutes."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if not (host and port.isdecimal()):
        return
    try:
        create_connection((host, int(port)), PATIENCE).close()
    except (OSError, OverflowError) as error:
        raise DeepInsideError(f"expected a Ray cluster at {address}, found none ({brief(error)})") from None


def _quiet(ray: Any) -> None:
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    ray.data.DataContext.get_current().enable_progress_bars = False
