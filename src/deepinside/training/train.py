"""Train the paper's ConvNet (Sect. 1) on pictures by class: in one process, in several, or on several machines.

From top to bottom: what a run consists of, one step, one epoch, validation, the ten-crop test. Every random choice is a
function of the seed, the epoch and the picture. So a run that was killed continues as if it had not been interrupted,
and several processes see the same batches as one. Only the dropout masks depend on the number of processes.

Pictures are bytes, (batch, 3, side, side), where `side` is 256/224 of the network's size, as was usual at the paper's
time; the network gets RGB in [0, 1], (batch, 3, size, size), and subtracts the mean image of the training set itself.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR, ReduceLROnPlateau

from deepinside.core.errors import DeepInsideError, brief, check_writable_folder, writing
from deepinside.core.files import atomic_write, clear_leftovers
from deepinside.core.labels import Labels
from deepinside.core.progress import Note, Progress
from deepinside.data.classes import Entry, TrainingSet, read_training_set
from deepinside.data.loading import Survey, batches, fits, in_turn, merged, shuffled, survey
from deepinside.gradients.saliency import ten_crops
from deepinside.networks import checkpoint
from deepinside.networks.checkpoint import Checkpoint
from deepinside.networks.convnet2013 import ConvNet2013, gaussian_, he_
from deepinside.networks.normalized import Normalized
from deepinside.training.augment import augment, draws
from deepinside.training.process_group import ProcessGroup, process_group
from deepinside.training.recipe import Recipe

ENLARGED = 256 / 224  # how much larger the pictures are than the crops
PRECISIONS = ("auto", "float32", "bfloat16")
NAMED_FAILURES = 20  # unreadable pictures that are named; the rest is counted
RISE = 0.2  # share of a one-cycle schedule in which the learning rate rises
# What changes in a scheduler while it runs; all else follows from the recipe.
SCHEDULER_STATE = ("last_epoch", "_step_count", "_last_lr", "best", "num_bad_epochs", "cooldown_counter")

T = TypeVar("T")
Views = Callable[[Float[Tensor, "batch 3 side side"], int], Float[Tensor, "views batch 3 size size"]]


@dataclass(frozen=True)
class Setup:
    """What defines a run: all processes of a run have the same setup, and so has a run when it is continued."""

    recipe: Recipe
    size: int = 224  # height and width of what the network sees, in pixels
    hidden_units: int | None = None  # of each hidden fully connected layer; None for the network's default
    dropout: float = 0.5
    seed: int = 0

    @property
    def side(self) -> int:
        """Height and width of the pictures that crops are taken from."""
        return round(self.size * ENLARGED)


@dataclass(frozen=True)
class Resources:
    """What a run computes with. It may be continued with other resources, up to rounding."""

    device: str = "auto"  # cpu, cuda, or auto: a GPU where there is one
    precision: str = "auto"  # of activations: float32, bfloat16, or auto: bfloat16 where the hardware has it
    workers: int = 0  # processes that read pictures ahead, for each training process


@dataclass(frozen=True)
class Epoch:
    """One epoch of the curve: accuracies are fractions, and the speed is that of training alone."""

    epoch: int  # counted from 1
    learning_rate: float
    loss: float
    training_top1: float
    top1: float
    top5: float
    images_per_second: float


@dataclass(frozen=True)
class Trained:
    """A finished run: its last checkpoint, its curve, and the accuracy (top-1, top-5) of the ten-crop test.

    `training` and `validation` are the pictures that took part, `unreadable` the reasons why others did not.
    """

    checkpoint: Checkpoint
    curve: tuple[Epoch, ...]
    ten_crop: tuple[float, float]
    training: tuple[Entry, ...]
    validation: tuple[Entry, ...]
    unreadable: tuple[str, ...]


Event = Note | Progress | Epoch | Trained


def train(
    root: Path, run: Path, setup: Setup, resources: Resources | None = None, *, tensorboard: bool = False
) -> Iterator[Event]:
    """Train a network, or continue a run that was interrupted, and leave it in a folder that `load` takes.

    Args:
        root: the data set, as for `read_training_set`.
        run: the folder of the run; a run that is already in it is continued.
        setup: the recipe and the network.
        resources: the device, the precision and the worker processes.
        tensorboard: whether to write TensorBoard's files, too.

    Yields:
        Notes, progress, every `Epoch` once its checkpoint is written, and at last `Trained`. Of several processes, only
        the leading one yields anything; in the others, asking for the first event runs the whole training. Between
        events, PyTorch's global random state is the caller's.

    Raises:
        DeepInsideError: data that make no training set, a run with another setup or other pictures, settings out of
            range, a loss that is not finite, and a folder that cannot be written, also when its disk is full later; the
            message says which epochs are kept.
    """
    resources = resources or Resources()
    with process_group(resources.device) as group:
        if group.leads:
            check_writable_folder(run)
            writer = _tensorboard(run) if tensorboard else None
        for event in _with_own_randomness(_events(root, run, setup, resources, group), group.device):
            if group.leads and writer and isinstance(event, Epoch):
                writer(event)
            if group.leads:
                yield event


def _events(root: Path, run: Path, setup: Setup, resources: Resources, group: ProcessGroup) -> Iterator[Event]:
    """All events of a run, the same in every process."""
    data = read_training_set(root, setup.seed)
    training = yield from _surveyed(data.train, "training pictures", setup, resources, group)
    validation = yield from _surveyed(data.validation, "validation pictures", setup, resources, group)
    unreadable = (*training.failures.values(), *validation.failures.values())
    yield from _notes(data, training, validation, unreadable)
    trainer = _Trainer(run, setup, Pictures(data.labels, training, validation), resources, group)
    yield from trainer.epochs()
    ten_crop = yield from trainer.accuracy(ten_views, "ten-crop test")
    assert trainer.saved is not None
    yield Trained(trainer.saved, tuple(trainer.curve), ten_crop, training.entries, validation.entries, unreadable)


def _with_own_randomness(events: Iterator[T], device: torch.device) -> Iterator[T]:
    """The same events. What happens between two of them neither changes nor sees the random state of the training."""
    devices = [device] if device.type == "cuda" else []
    state: list[Tensor] = []
    while True:
        with torch.random.fork_rng(devices=devices):
            if state:
                torch.set_rng_state(state[0])
            for each, of_device in zip(devices, state[1:], strict=False):  # none before the first event
                torch.cuda.set_rng_state(of_device, each)
            event = next(events, None)
            state = [torch.get_rng_state(), *map(torch.cuda.get_rng_state, devices)]
        if event is None:
            return
        yield event


# ------------------------------------------------------------------------------------------------------- one training


@dataclass(frozen=True, eq=False)
class Pictures:
    """The classes of a training set, and its pictures as they were read: for training and for validation."""

    labels: Labels
    training: Survey
    validation: Survey


class _Trainer:
    """The network of a run with its optimizer and its curve, and all that an epoch needs."""

    def __init__(self, run: Path, setup: Setup, pictures: Pictures, resources: Resources, group: ProcessGroup):
        self.run, self.setup, self.pictures, self.group = run, setup, pictures, group
        self.autocast, self.workers = _autocast(group, resources.precision), resources.workers
        recipe, training = setup.recipe, pictures.training
        self.batch = _batch(recipe, len(training.entries), group)
        network = new_network(setup, len(pictures.labels), training.mean_image(setup.size))
        self.network = network.to(group.device)
        self.axes = training.color_axes().to(group.device)
        self.optimizer = optimizer_of(self.network, recipe)
        self.scheduler = scheduler_of(self.optimizer, recipe, len(training.entries) // self.batch)
        self.curve: list[Epoch] = []
        self.saved: Checkpoint | None = None

    def epochs(self) -> Iterator[Note | Progress | Epoch]:
        """Train epoch by epoch, from the newest complete checkpoint on; each epoch ends with a new checkpoint."""
        yield from self._resume()
        parallel = self.group.parallel(self.network)
        for epoch in range(len(self.curve), self.setup.recipe.epochs):
            learning_rate = self.optimizer.param_groups[0]["lr"]
            began = time.perf_counter()
            loss, right, seen = yield from self._train(parallel, epoch)
            speed = seen / (time.perf_counter() - began)
            top1, top5 = yield from self.accuracy(center_view, f"epoch {epoch + 1}, validation")
            if isinstance(self.scheduler, ReduceLROnPlateau):
                self.scheduler.step(1 - top1)
            self.curve.append(Epoch(epoch + 1, learning_rate, loss / seen, right / seen, top1, top5, speed))
            self._save()
            yield self.curve[-1]

    def _train(self, parallel: nn.Module, epoch: int) -> Generator[Progress, None, tuple[float, int, int]]:
        """One epoch. Returns the sum of the losses, and how many of how many pictures were classified correctly."""
        recipe, group, mean, training = self.setup.recipe, self.group, self.network.mean, self.pictures.training
        parallel.train()
        torch.manual_seed((self.setup.seed * 1_000_003 + epoch) * 4099 + group.rank)  # of the dropout masks
        numbers = draws(len(training.entries), self.setup.seed, epoch)
        order = shuffled(len(training.entries), self.batch, self.setup.seed, epoch, group.rank, group.world_size)
        source = batches(training.entries, training.pixels, self.setup.side, order, group.device, self.workers)
        labels = _labels(training)
        sums = torch.zeros(2, dtype=torch.float64, device=group.device)  # read at the end only, so that no step waits
        for done, (chosen, pictures) in enumerate(source, start=1):
            images = augment(pictures, numbers[chosen].to(group.device), recipe.augmentation, mean, self.axes)
            loss, right = step(
                parallel, self.optimizer, _last(images), labels[chosen].to(group.device), recipe, self.autocast
            )
            if isinstance(self.scheduler, OneCycleLR):
                self.scheduler.step()
            sums += torch.stack([loss.double() * len(chosen), right.double()])
            yield Progress(f"epoch {epoch + 1}", done, len(order))
        loss_sum, right_sum = group.sum(sums).tolist()
        if not loss_sum < float("inf"):
            raise DeepInsideError(f"epoch {epoch + 1}: the loss is no longer finite; try a lower --learning-rate")
        return loss_sum, int(right_sum), len(order) * self.batch

    def accuracy(self, views: Views, what: str) -> Generator[Progress, None, tuple[float, float]]:
        """The validation accuracy, top-1 and top-5, with the probabilities averaged over some views per picture."""
        group, validation = self.group, self.pictures.validation
        order = in_turn(len(validation.entries), 64, group.rank, group.world_size)
        source = batches(validation.entries, validation.pixels, self.setup.side, order, group.device, self.workers)
        labels, counts = _labels(validation), torch.zeros(2, dtype=torch.long)
        for done, (chosen, pictures) in enumerate(source, start=1):
            probabilities = predict(self.network, views(pictures.float() / 255, self.setup.size), self.autocast)
            likeliest = probabilities.topk(min(5, probabilities.shape[1])).indices.cpu()
            hits = likeliest == labels[chosen][:, None]
            counts += torch.stack([hits[:, 0].sum(), hits.any(dim=1).sum()])
            yield Progress(what, done, len(order))
        top1, top5 = (group.sum(counts).double() / len(validation.entries)).tolist()
        return top1, top5

    def _save(self) -> None:
        if self.group.leads:
            state = self.optimizer.state_dict()
            tensors = {f"network.{name}": value for name, value in self.network.state_dict().items()}
            for number, kept in state["state"].items():
                tensors |= {f"optimizer.{number}.{name}": torch.as_tensor(value) for name, value in kept.items()}
            facts = {
                "model": described(self.setup, self.pictures.labels),
                "setup": asdict(self.setup),
                "groups": state["param_groups"],
                "scheduler": {key: value for key, value in self.scheduler.state_dict().items() if _is_plain(value)},
                "curve": [asdict(epoch) for epoch in self.curve],
                "pictures": digest(self.pictures),
            }
            self._write(tensors, facts)
        self.saved = self.group.gather(self.saved)[0]

    def _write(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Write the checkpoint and the curve. An error says what is kept nevertheless."""
        try:
            self.saved = checkpoint.save(self.run, len(self.curve), tensors, facts)
            write_curve(self.curve, self.run / "curve.csv")
        except DeepInsideError as error:
            kept = f"kept up to epoch {self.saved.epoch}, from which it can go on" if self.saved else "not kept"
            raise DeepInsideError(f"{error}; the run is {kept}") from None

    def _resume(self) -> Iterator[Note]:
        """Continue from the newest complete checkpoint: the leader finds it, and every process reads it."""
        damaged: list[str] = []
        found = None
        if self.group.leads:
            clear_leftovers(self.run)
            found = checkpoint.newest(self.run, damaged.append)
        yield from (Note(f"warning: {reason}") for reason in damaged)
        self.saved = found = self.group.gather(found)[0]
        if found is None:
            return
        _check_same(found, self.setup, self.pictures)
        try:
            self._restore(found)
        except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            raise DeepInsideError(
                f"{found.path}: expected the state of this run ({brief(error)}); remove this checkpoint to go on from "
                "the one before it"
            ) from None
        yield Note(f"continuing after epoch {found.epoch} of {self.setup.recipe.epochs}, from {found.path}")

    def _restore(self, found: Checkpoint) -> None:
        """Take over the state of a checkpoint. Raises whatever values of other types and shapes cause."""
        self.network.load_state_dict(found.tensors("network"))
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in found.tensors("optimizer").items():
            number, _, key = name.partition(".")
            state.setdefault(int(number), {})[key] = value
        groups = found.facts["groups"]
        _check_kind(groups, self.optimizer.state_dict()["param_groups"], "groups")
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})
        fresh = {key: value for key, value in self.scheduler.state_dict().items() if key in SCHEDULER_STATE}
        _check_kind(found.facts["scheduler"], fresh, "scheduler")
        self.scheduler.load_state_dict({key: found.facts["scheduler"][key] for key in fresh})
        one = dict.fromkeys(Epoch.__dataclass_fields__, 0.0)
        _check_kind(found.facts["curve"], [one] * found.epoch, "curve")
        self.curve = [Epoch(**epoch) for epoch in found.facts["curve"]]


def step(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    images: Float[Tensor, "batch 3 size size"],
    labels: Int[Tensor, " batch"],
    recipe: Recipe,
    autocast: torch.autocast,
) -> tuple[Float[Tensor, ""], Int[Tensor, ""]]:
    """One optimizer step on the mean cross entropy. Returns the loss before it, and how many pictures were correct."""
    with autocast:
        logits = network(images)
    logits = logits.float() if logits.dtype == torch.bfloat16 else logits
    loss = F.cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing)
    optimizer.zero_grad()
    loss.backward()
    if recipe.clip_norm is not None:
        nn.utils.clip_grad_norm_(network.parameters(), recipe.clip_norm)
    optimizer.step()
    return loss.detach(), (logits.detach().argmax(dim=1) == labels).sum()


def predict(
    network: nn.Module, views: Float[Tensor, "views batch 3 size size"], autocast: torch.autocast
) -> Float[Tensor, "batch classes"]:
    """The class probabilities of each picture, averaged over its views. Leaves the network in evaluation mode."""
    network.eval()
    with torch.no_grad(), autocast:
        return torch.stack([network(_last(view)).float().softmax(dim=1) for view in views]).mean(dim=0)


def center_view(pictures: Float[Tensor, "batch 3 side side"], size: int) -> Float[Tensor, "1 batch 3 size size"]:
    """The central crop of every picture."""
    start = (pictures.shape[-1] - size) // 2
    return pictures[None, :, :, start : start + size, start : start + size]


def ten_views(pictures: Float[Tensor, "batch 3 side side"], size: int) -> Float[Tensor, "10 batch 3 size size"]:
    """The views of the ten-crop test: corners, center, and their mirror images (Krizhevsky et al. 2012, Sect. 4.1)."""
    return torch.stack([ten_crops(picture[None], (size, size)) for picture in pictures], dim=1)


# -------------------------------------------------------------------------------------------------------------- pieces


def new_network(setup: Setup, classes: int, mean_image: Float[Tensor, "3 size size"]) -> Normalized:
    """The network of a run before its first step. The same seed gives the same weights."""
    torch.manual_seed(setup.seed)
    network = ConvNet2013(classes, size=setup.size, hidden_units=setup.hidden_units, dropout=setup.dropout)
    if setup.recipe.initialization == "he":
        he_(network)
    else:
        gaussian_(network)
    return Normalized(network, mean_image, (setup.recipe.std,) * 3).to(memory_format=torch.channels_last)


def optimizer_of(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimizer, with weight decay on weights but not on biases."""
    groups = [
        {"params": [each for each in network.parameters() if each.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [each for each in network.parameters() if each.ndim <= 1], "weight_decay": 0.0},
    ]
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=recipe.learning_rate)
    return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=recipe.momentum)


def scheduler_of(optimizer: torch.optim.Optimizer, recipe: Recipe, steps: int) -> LRScheduler:
    """The learning rate's scheduler: it acts once per epoch, by the validation error, or in each of `steps` steps."""
    if recipe.schedule == "plateau":
        return ReduceLROnPlateau(optimizer, factor=0.1, patience=recipe.patience, threshold=1e-3)
    total = recipe.epochs * steps
    rise = RISE if RISE * total > 1 else 0.0  # of less than a step, PyTorch divides by zero
    return OneCycleLR(optimizer, recipe.learning_rate, total_steps=total, pct_start=rise, cycle_momentum=False)


def described(setup: Setup, labels: Labels) -> dict[str, Any]:
    """What `load` needs to build the network again, as plain values."""
    return {
        "size": setup.size,
        "full": setup.hidden_units,
        "std": setup.recipe.std,
        "synonyms": [list(names) for names in labels.synonyms],
        "wnids": list(labels.wnids),
    }


def write_curve(curve: Sequence[Epoch], path: Path) -> Path:
    """Write the curve as CSV, one line per epoch. Raises `DeepInsideError` where it cannot be written."""
    with writing(path, "the curve"), atomic_write(path) as part, part.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, [*Epoch.__dataclass_fields__], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(epoch) for epoch in curve)
    return path


def _batch(recipe: Recipe, pictures: int, group: ProcessGroup) -> int:
    """How many pictures one step takes, all processes together: the recipe's batch, or fewer if there are not so many.

    Raises `DeepInsideError` for a batch that the processes cannot share.
    """
    if recipe.batch % group.world_size:
        raise DeepInsideError(
            f"expected a batch that {group.world_size} processes can share evenly, got {recipe.batch} pictures"
        )
    batch = min(recipe.batch, pictures // group.world_size * group.world_size)
    if not batch:
        raise DeepInsideError(f"expected a picture for each of {group.world_size} processes, got {pictures}")
    return batch


def _surveyed(
    entries: Sequence[Entry], what: str, setup: Setup, resources: Resources, group: ProcessGroup
) -> Generator[Progress, None, Survey]:
    """Read all pictures once: in every process, if they fit in its memory, or else each process its share."""
    keep = fits(len(entries), setup.side)
    share = entries if keep else entries[group.rank :: group.world_size]
    parts: list[Survey] = []
    done = 0
    for part in survey(share, setup.side, keep=keep, workers=resources.workers):
        parts.append(part)
        done += len(part.entries) + len(part.failures)
        yield Progress(what, done, len(share))
    found = merged(parts, setup.side)
    if not keep:
        found = _of_all_processes(found, entries, group)
    if not found.entries:
        first = next(iter(found.failures.values()))
        raise DeepInsideError(f"expected {what} that can be read, but none of {len(entries)} could be; first: {first}")
    return found


def _of_all_processes(own: Survey, entries: Sequence[Entry], group: ProcessGroup) -> Survey:
    """The survey of all entries, of which each process has read its share."""
    failures: dict[str, str] = {}
    for part in group.gather(dict(own.failures)):
        failures |= part
    readable = tuple(entry for entry in entries if str(entry) not in failures)
    return Survey(readable, failures, None, group.sum(own.total), group.sum(own.products))


def _notes(data: TrainingSet, training: Survey, validation: Survey, unreadable: Sequence[str]) -> Iterator[Note]:
    """What is known of the data before training."""
    used = f"{len(training.entries)} training and {len(validation.entries)} validation pictures"
    yield Note(f"{len(data.labels)} classes, {used}")
    if data.unlabeled:
        yield Note(f"warning: {data.unlabeled} validation pictures have no usable annotation and are left out")
    if unreadable:
        yield Note(f"warning: {len(unreadable)} pictures cannot be read and are left out:")
        yield from (Note(f"  {reason}") for reason in unreadable[:NAMED_FAILURES])
    if len(unreadable) > NAMED_FAILURES:
        yield Note(f"  and {len(unreadable) - NAMED_FAILURES} more")


def digest(pictures: Pictures) -> str:
    """Twelve digits that differ where the pictures do, in their classes or in the sums of their pixels."""
    found = sha256()
    for each in (pictures.training, pictures.validation):
        for values in (_labels(each), each.total, each.products):
            found.update(values.cpu().numpy().tobytes())
    return found.hexdigest()[:12]


def _check_same(found: Checkpoint, setup: Setup, pictures: Pictures) -> None:
    """Raise `DeepInsideError` unless the run of a checkpoint has this setup, these classes and these pictures."""
    facts = found.facts
    for name, (then, now) in {
        "setup": (facts.get("setup"), _as_json(asdict(setup))),
        "model": (facts.get("model"), described(setup, pictures.labels)),
        "pictures": (facts.get("pictures", digest(pictures)), digest(pictures)),  # older runs do not tell
    }.items():
        if then != now:
            key = _first_difference(then, now)
            raise DeepInsideError(
                f"{found.path.parent}: expected the {name} that this run began with, but {key} differs; use another "
                "folder for another run"
            )


def _first_difference(then: object, now: object) -> str:
    if isinstance(then, Mapping) and isinstance(now, Mapping):
        for key in {**then, **now}:
            if then.get(key) != now.get(key):
                inner = _first_difference(then.get(key), now.get(key))
                return f"{_brief(key)}.{inner}" if isinstance(now.get(key), Mapping) else f"{_brief(key)} ({inner})"
    if isinstance(then, list) and isinstance(now, list):
        return f"{len(then)} then, {len(now)} now" if len(then) != len(now) else "their entries"
    return f"{_brief(then)} then, {_brief(now)} now"


def _brief(value: object) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def _check_kind(value: object, like: object, name: str) -> None:
    """Raise `TypeError` unless a value of a checkpoint has the same keys, lengths and types as one of this run."""
    if isinstance(like, Mapping) and isinstance(value, Mapping):
        for key, expected in like.items():
            _check_kind(value[key], expected, f"{name}.{key}")
    elif isinstance(like, (list, tuple)) and isinstance(value, list) and len(value) == len(like):
        for number, (each, expected) in enumerate(zip(value, like, strict=True)):
            _check_kind(each, expected, f"{name}[{number}]")
    elif like is not None and (isinstance(like, (Mapping, list, tuple)) or _kind(value) is not _kind(like)):
        raise TypeError(f"{name}: {_brief(value)} in place of {_brief(like)}")


def _kind(value: object) -> type:
    return float if type(value) is int else type(value)


def _as_json(value: Any) -> Any:
    """The value as JSON gives it back: tuples become lists."""
    if isinstance(value, Mapping):
        return {key: _as_json(item) for key, item in value.items()}
    return [_as_json(item) for item in value] if isinstance(value, (list, tuple)) else value


def _is_plain(value: object) -> bool:
    return isinstance(value, (int, float, str, list, type(None)))


def _labels(found: Survey) -> Int[Tensor, " pictures"]:
    return torch.tensor([entry.label for entry in found.entries])


def _last(images: Float[Tensor, "batch 3 size size"]) -> Float[Tensor, "batch 3 size size"]:
    return images.contiguous(memory_format=torch.channels_last)


def _autocast(group: ProcessGroup, precision: str) -> torch.autocast:
    """Mixed precision, or none. "auto" takes bfloat16 where it is faster: on recent GPUs and on CPUs with AMX."""
    if precision not in PRECISIONS:
        raise DeepInsideError(f"expected a precision ({', '.join(PRECISIONS)}), got {precision!r}")
    if group.device.type == "cuda":
        built_in = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        built_in = bool(torch.cpu.get_capabilities().get("amx_bf16", False))
    low = precision == "bfloat16" or (precision == "auto" and built_in)
    return torch.autocast(group.device.type, torch.bfloat16, enabled=low)


def _tensorboard(run: Path) -> Callable[[Epoch], None]:
    """A function that writes an epoch for TensorBoard. Raises `DeepInsideError`, before the training, without it."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise DeepInsideError("--tensorboard needs a package: pip install 'deepinside[tensorboard]'") from None

    def write(epoch: Epoch) -> None:
        folder = run / "tensorboard"
        with writing(folder / "events", "TensorBoard's files"), SummaryWriter(str(folder)) as writer:
            for name, value in asdict(epoch).items():
                writer.add_scalar(name, value, epoch.epoch)

    return write
