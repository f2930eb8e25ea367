"""Train the paper's ConvNet (Sect. 1) on pictures by class: one process, several, or several machines.

From top to bottom: what a run consists of, one step, one epoch, validation, the ten-crop test. Every random choice is a
function of the seed, the epoch and the picture, so a run goes on after `kill -9` as if nothing had happened, and
several processes see the same batches as one. Only dropout's masks depend on the number of processes.

Pictures are (batch, 3, side, side) bytes, `side` being 256/224 of the network's size as in the paper's time; the
network gets (batch, 3, size, size), RGB in [0, 1], and subtracts the training set's mean image itself.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR, ReduceLROnPlateau

from deepinside.core.errors import DeepInsideError, writing
from deepinside.core.terminal import track
from deepinside.data.classes import TrainingSet, read_training_set
from deepinside.data.loading import Survey, batches, fits, in_turn, shuffled, survey
from deepinside.gradients.saliency import ten_crops
from deepinside.networks import checkpoint
from deepinside.networks.checkpoint import Checkpoint
from deepinside.networks.classifier import Normalized
from deepinside.networks.convnet2013 import ConvNet2013, gaussian_, he_
from deepinside.training.augment import augment, draws
from deepinside.training.process_group import Team, joined
from deepinside.training.recipe import Recipe

ENLARGED = 256 / 224  # pictures are so much larger than crops
PRECISIONS = ("auto", "float32", "bfloat16")

Views = Callable[[Float[Tensor, "batch 3 side side"], int], Float[Tensor, "views batch 3 size size"]]


@dataclass(frozen=True)
class Setup:
    """What may not change within a run; two processes of one run, and a run and its continuation, have the same."""

    recipe: Recipe
    size: int = 224
    full: int | None = None
    dropout: float = 0.5
    seed: int = 0

    @property
    def side(self) -> int:
        """Height and width of the pictures that crops are taken from."""
        return round(self.size * ENLARGED)


@dataclass(frozen=True)
class Row:
    """One epoch of the curve; errors and accuracy as fractions, the time and the speed of training alone."""

    epoch: int
    rate: float
    loss: float
    training_top1: float
    top1: float
    top5: float
    images_per_second: float


@dataclass(frozen=True)
class Trained:
    """What came of a run: its last checkpoint, the curve, and the accuracy (top-1, top-5) of the ten-crop test."""

    checkpoint: Checkpoint
    curve: tuple[Row, ...]
    ten_crop: tuple[float, float]
    pictures: tuple[int, int]
    unreadable: tuple[str, ...]


def train(
    root: Path,
    run: Path,
    setup: Setup,
    *,
    device: str = "auto",
    precision: str = "auto",
    workers: int = 0,
    tensorboard: bool = False,
    tell: Callable[[str], object] = print,
) -> Trained:
    """Train a network, or go on with a run that was cut off, and leave it in a folder that `load` takes.

    Args:
        root: the data set, as for `read_training_set`.
        run: the folder of the run; what is there already is continued.
        setup: the recipe and the network.
        device: `"cpu"`, `"cuda"` or `"auto"`.
        precision: of activations: `"float32"`, `"bfloat16"`, or `"auto"` for bfloat16 where it is built in.
        workers: processes that read pictures ahead, for each training process.
        tensorboard: whether to write TensorBoard's files, too.
        tell: what the leading process says, a line an epoch.

    Raises `DeepInsideError` for data that make no training set, a run of another setup, and settings out of range.
    """
    with joined(device) as team, torch.random.fork_rng(devices=[team.device] if team.device.type == "cuda" else []):
        say = tell if team.leads else _say_nothing
        data = read_training_set(root, setup.seed)
        training, validation = (
            _surveyed(entries, setup, team, workers, what)
            for entries, what in ((data.train, "training pictures"), (data.validation, "validation pictures"))
        )
        unreadable = (*training.failures.values(), *validation.failures.values())
        _report_data(data, training, validation, unreadable, say)
        course = _Course(run, setup, data, training, validation, team, _autocast(team, precision), workers)
        for row in course.epochs(say):
            if team.leads and tensorboard:
                _to_tensorboard(run, row)
        ten_crop = course.accuracy(ten_views, "ten-crop test")
        say(f"ten-crop test: top-1 {ten_crop[0]:.1%}, top-5 {ten_crop[1]:.1%}")
        assert course.saved is not None
        return Trained(
            course.saved,
            tuple(course.curve),
            ten_crop,
            (len(training.entries), len(validation.entries)),
            tuple(unreadable),
        )


# ------------------------------------------------------------------------------------------------------- one training


class _Course:
    """A network on its way through the epochs, with everything that it needs."""

    def __init__(
        self,
        run: Path,
        setup: Setup,
        data: TrainingSet,
        training: Survey,
        validation: Survey,
        team: Team,
        autocast: torch.autocast,
        workers: int,
    ):
        self.run, self.setup, self.data, self.team = run, setup, data, team
        self.training, self.validation = training, validation
        self.autocast, self.workers = autocast, workers
        recipe = setup.recipe
        if recipe.batch % team.world:
            raise DeepInsideError(
                f"expected a batch that {team.world} processes can share evenly, got {recipe.batch} pictures"
            )
        self.batch = min(recipe.batch, len(training.entries) // team.world * team.world)
        if not self.batch:
            raise DeepInsideError(f"expected a picture for each of {team.world} processes, got {len(training.entries)}")
        self.network = new_network(setup, len(data.labels), training.mean_image(setup.size)).to(team.device)
        self.axes = training.color_axes().to(team.device)
        self.optimizer = optimizer_of(self.network, recipe)
        self.scheduler = scheduler_of(self.optimizer, recipe, len(training.entries) // self.batch)
        self.curve: list[Row] = []
        self.saved: Checkpoint | None = None

    def epochs(self, say: Callable[[str], object]) -> Iterator[Row]:
        """Train on, epoch by epoch, from the newest whole checkpoint; each ends with a new one."""
        self._resume(say)
        together = self.team.together(self.network)
        for epoch in range(len(self.curve), self.setup.recipe.epochs):
            rate = self.optimizer.param_groups[0]["lr"]
            began = time.perf_counter()
            loss, right, seen = self._train(together, epoch)
            speed = seen / (time.perf_counter() - began)
            top1, top5 = self.accuracy(center_view, f"epoch {epoch + 1}, validation")
            if isinstance(self.scheduler, ReduceLROnPlateau):
                self.scheduler.step(1 - top1)
            self.curve.append(Row(epoch + 1, rate, loss / seen, right / seen, top1, top5, speed))
            self._save()
            say(_line(self.curve[-1], self.setup.recipe.epochs))
            yield self.curve[-1]

    def _train(self, together: nn.Module, epoch: int) -> tuple[float, int, int]:
        """One epoch: the summed loss, how many pictures were right as they were shown, and how many there were."""
        recipe, team, mean = self.setup.recipe, self.team, self.network.mean
        together.train()
        torch.manual_seed((self.setup.seed * 1_000_003 + epoch) * 4099 + team.rank)  # dropout's masks
        numbers = draws(len(self.training.entries), self.setup.seed, epoch)
        order = shuffled(len(self.training.entries), self.batch, self.setup.seed, epoch, team.rank, team.world)
        source = batches(self.training.entries, self.training.pixels, self.setup.side, order, team.device, self.workers)
        labels = _labels(self.training)
        sums = torch.zeros(2, dtype=torch.float64, device=team.device)  # not read before the end: no step waits
        for chosen, pictures in track(source, len(order), f"epoch {epoch + 1}") if team.leads else source:
            images = augment(pictures, numbers[chosen].to(team.device), recipe.augmentation, mean, self.axes)
            loss, right = step(
                together, self.optimizer, _last(images), labels[chosen].to(team.device), recipe, self.autocast
            )
            if isinstance(self.scheduler, OneCycleLR):
                self.scheduler.step()
            sums += torch.stack([loss.double() * len(chosen), right.double()])
        loss_sum, right_sum = team.total(sums).tolist()
        if not loss_sum < float("inf"):
            raise DeepInsideError(f"epoch {epoch + 1}: the loss is no longer finite; try a lower --rate")
        return loss_sum, int(right_sum), len(order) * self.batch

    def accuracy(self, views: Views, what: str) -> tuple[float, float]:
        """The share of validation pictures whose class is the likeliest, and among the likeliest five."""
        team, entries = self.team, self.validation.entries
        order = in_turn(len(entries), 64, team.rank, team.world)
        source = batches(entries, self.validation.pixels, self.setup.side, order, team.device, self.workers)
        labels, counts = _labels(self.validation), torch.zeros(2, dtype=torch.long)
        for chosen, pictures in track(source, len(order), what) if team.leads else source:
            probabilities = predict(self.network, views(pictures.float() / 255, self.setup.size), self.autocast)
            likeliest = probabilities.topk(min(5, probabilities.shape[1])).indices.cpu()
            hits = likeliest == labels[chosen][:, None]
            counts += torch.stack([hits[:, 0].sum(), hits.any(dim=1).sum()])
        top1, top5 = (team.total(counts).double() / len(entries)).tolist()
        return top1, top5

    def _save(self) -> None:
        if self.team.leads:
            state = self.optimizer.state_dict()
            tensors = {f"network.{name}": value for name, value in self.network.state_dict().items()}
            for number, kept in state["state"].items():
                tensors |= {f"optimizer.{number}.{name}": torch.as_tensor(value) for name, value in kept.items()}
            facts = {
                "model": described(self.setup, self.data),
                "setup": asdict(self.setup),
                "groups": state["param_groups"],
                "scheduler": {key: value for key, value in self.scheduler.state_dict().items() if _is_plain(value)},
                "curve": [asdict(row) for row in self.curve],
            }
            self.saved = checkpoint.save(self.run, len(self.curve), tensors, facts)
            write_curve(self.curve, self.run / "curve.csv")
        self.saved = self.team.everyone(self.saved)[0]

    def _resume(self, say: Callable[[str], object]) -> None:
        """Every process reads the checkpoint that the leading one found to be whole."""
        found = checkpoint.newest(self.run, lambda text: say(f"warning: {text}")) if self.team.leads else None
        self.saved = found = self.team.everyone(found)[0]
        if found is None:
            return
        _check_same(found, self.setup, self.data)
        self.network.load_state_dict(found.tensors("network"))
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in found.tensors("optimizer").items():
            number, _, key = name.partition(".")
            state.setdefault(int(number), {})[key] = value
        self.optimizer.load_state_dict({"state": state, "param_groups": found.facts["groups"]})
        self.scheduler.load_state_dict(found.facts["scheduler"])
        self.curve = [Row(**row) for row in found.facts["curve"]]
        say(f"going on after epoch {found.epoch} of {self.setup.recipe.epochs}, from {found.path}")


def step(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    images: Float[Tensor, "batch 3 size size"],
    labels: Int[Tensor, " batch"],
    recipe: Recipe,
    autocast: torch.autocast,
) -> tuple[Float[Tensor, ""], Int[Tensor, ""]]:
    """One step down the gradient of the mean cross entropy; the loss before it, and how many pictures were right."""
    with autocast:
        logits = network(images)
    logits = logits.float() if logits.dtype == torch.bfloat16 else logits
    loss = F.cross_entropy(logits, labels, label_smoothing=recipe.smoothing)
    optimizer.zero_grad()
    loss.backward()
    if recipe.clip is not None:
        nn.utils.clip_grad_norm_(network.parameters(), recipe.clip)
    optimizer.step()
    return loss.detach(), (logits.detach().argmax(dim=1) == labels).sum()


def predict(
    network: nn.Module, views: Float[Tensor, "views batch 3 size size"], autocast: torch.autocast
) -> Float[Tensor, "batch classes"]:
    """The class probabilities of each picture, the mean over its views. The network is left in evaluation mode."""
    network.eval()
    with torch.no_grad(), autocast:
        return torch.stack([network(_last(view)).float().softmax(dim=1) for view in views]).mean(dim=0)


def center_view(pictures: Float[Tensor, "batch 3 side side"], size: int) -> Float[Tensor, "1 batch 3 size size"]:
    """The central crop of every picture."""
    start = (pictures.shape[-1] - size) // 2
    return pictures[None, :, :, start : start + size, start : start + size]


def ten_views(pictures: Float[Tensor, "batch 3 side side"], size: int) -> Float[Tensor, "10 batch 3 size size"]:
    """The ten-crop test: corners, center, and their mirror images (Krizhevsky et al. 2012, Sect. 4.1)."""
    return torch.stack([ten_crops(picture[None], (size, size)) for picture in pictures], dim=1)


# -------------------------------------------------------------------------------------------------------------- pieces


def new_network(setup: Setup, classes: int, mean_image: Float[Tensor, "3 size size"]) -> Normalized:
    """The network of a run before its first step, the same for the same seed."""
    torch.manual_seed(setup.seed)
    network = ConvNet2013(classes, size=setup.size, full=setup.full, dropout=setup.dropout)
    if setup.recipe.start == "he":
        he_(network)
    else:
        gaussian_(network)
    return Normalized(network, mean_image, (setup.recipe.std,) * 3).to(memory_format=torch.channels_last)


def optimizer_of(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimizer; weights decay, biases do not."""
    groups = [
        {"params": [each for each in network.parameters() if each.ndim > 1], "weight_decay": recipe.decay},
        {"params": [each for each in network.parameters() if each.ndim <= 1], "weight_decay": 0.0},
    ]
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=recipe.rate)
    return torch.optim.SGD(groups, lr=recipe.rate, momentum=recipe.momentum)


def scheduler_of(optimizer: torch.optim.Optimizer, recipe: Recipe, steps: int) -> LRScheduler:
    """What moves the learning rate: once an epoch by the validation error, or every one of `steps` an epoch."""
    if recipe.schedule == "plateau":
        return ReduceLROnPlateau(optimizer, factor=0.1, patience=recipe.patience, threshold=1e-3)
    return OneCycleLR(optimizer, recipe.rate, total_steps=recipe.epochs * steps, pct_start=0.2, cycle_momentum=False)


def described(setup: Setup, data: TrainingSet) -> dict[str, Any]:
    """What `load` needs to build the network again: plain values."""
    return {
        "size": setup.size,
        "full": setup.full,
        "std": setup.recipe.std,
        "synonyms": [list(names) for names in data.labels.synonyms],
        "wnids": list(data.labels.wnids),
    }


def write_curve(curve: Sequence[Row], path: Path) -> Path:
    """The curve as CSV, a line an epoch. Raises `DeepInsideError` where it cannot be written."""
    with writing(path, "the curve"), path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, [*Row.__dataclass_fields__], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in curve)
    return path


def _surveyed(entries: Sequence[Any], setup: Setup, team: Team, workers: int, what: str) -> Survey:
    """All pictures read once: by every process where they fit in its memory, else each its share."""
    keep = fits(len(entries), setup.side)
    share = entries if keep else entries[team.rank :: team.world]
    mine = survey(
        share,
        setup.side,
        keep=keep,
        workers=workers,
        track=(lambda items, total: track(items, total, what)) if team.leads else lambda items, _: items,
    )
    if keep:
        found = mine
    else:
        failures: dict[str, str] = {}
        for part in team.everyone(dict(mine.failures)):
            failures |= part
        readable = tuple(entry for entry in entries if str(entry) not in failures)
        found = Survey(readable, failures, None, team.total(mine.total), team.total(mine.products))
    if not found.entries:
        first = next(iter(found.failures.values()))
        raise DeepInsideError(f"expected {what} that can be read, but none of {len(entries)} could be; first: {first}")
    return found


def _report_data(
    data: TrainingSet,
    training: Survey,
    validation: Survey,
    unreadable: Sequence[str],
    say: Callable[[str], object],
) -> None:
    say(
        f"{len(data.labels)} classes, {len(training.entries)} training and {len(validation.entries)} validation "
        "pictures"
    )
    if data.unlabeled:
        say(f"warning: {data.unlabeled} validation pictures have no usable annotation and take no part")
    if unreadable:
        say(f"warning: {len(unreadable)} pictures cannot be read and take no part:")
        for reason in unreadable[:20]:
            say(f"  {reason}")
        if len(unreadable) > 20:
            say(f"  and {len(unreadable) - 20} more")


def _check_same(found: Checkpoint, setup: Setup, data: TrainingSet) -> None:
    """A run goes on as it began, or not at all."""
    for name, (then, now) in {
        "setup": (found.facts.get("setup"), _as_json(asdict(setup))),
        "model": (found.facts.get("model"), described(setup, data)),
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
                return f"{key}.{inner}" if isinstance(now.get(key), Mapping) else f"{key} ({inner})"
    if isinstance(then, list) and isinstance(now, list):
        return f"{len(then)} then, {len(now)} now" if len(then) != len(now) else "their entries"
    return f"{then} then, {now} now"


def _as_json(value: Any) -> Any:
    """Tuples become lists, as in a file."""
    if isinstance(value, Mapping):
        return {key: _as_json(item) for key, item in value.items()}
    return [_as_json(item) for item in value] if isinstance(value, (list, tuple)) else value


def _is_plain(value: object) -> bool:
    return isinstance(value, (int, float, str, list, type(None)))


def _labels(found: Survey) -> Int[Tensor, " pictures"]:
    return torch.tensor([entry.label for entry in found.entries])


def _last(images: Float[Tensor, "batch 3 size size"]) -> Float[Tensor, "batch 3 size size"]:
    return images.contiguous(memory_format=torch.channels_last)


def _autocast(team: Team, precision: str) -> torch.autocast:
    """Mixed precision, or none: bfloat16 by itself only where it is faster, on recent GPUs and CPUs with AMX."""
    if precision not in PRECISIONS:
        raise DeepInsideError(f"expected a precision ({', '.join(PRECISIONS)}), got {precision!r}")
    if team.device.type == "cuda":
        built_in = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        built_in = bool(torch.cpu.get_capabilities().get("amx_bf16", False))
    low = precision == "bfloat16" or (precision == "auto" and built_in)
    return torch.autocast(team.device.type, torch.bfloat16, enabled=low)


def _line(row: Row, epochs: int) -> str:
    return (
        f"epoch {row.epoch:>3}/{epochs}  rate {row.rate:.2e}  loss {row.loss:.4f}  training top-1 "
        f"{row.training_top1:.1%}  validation top-1 {row.top1:.1%}  top-5 {row.top5:.1%}  "
        f"{row.images_per_second:.0f} images/s"
    )


def _to_tensorboard(run: Path, row: Row) -> None:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise DeepInsideError("--tensorboard needs a package: pip install 'deepinside[tensorboard]'") from None
    with SummaryWriter(str(run / "tensorboard")) as writer:
        for name, value in asdict(row).items():
            writer.add_scalar(name, value, row.epoch)


def _say_nothing(_text: str) -> None:
    """What the other processes say."""
