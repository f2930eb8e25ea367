"""A fault is planted, and the audit has to find it: `python benchmarks/audit.py TINY_IMAGENET_20 WORK [SEEDS]`.

TINY_IMAGENET_20 is a folder with `Data/CLS-LOC/train/CLASS/*.JPEG`, `Data/CLS-LOC/val/*.JPEG`, `LOC_val_solution.csv`
and `LOC_synset_mapping.txt`: pictures of 64 x 64 pixels, 20 classes with 500 for training and 50 for validation. A
small network is trained from scratch while `SHARE` of the training pictures of one class carry a mark. What is audited
are the validation pictures, each with its label; the same share of that class carries the mark, and all other classes
are clean in both. Two marks: 6 x 6 opaque pixels in the upper left corner, and a half-transparent watermark of 16 x 16
pixels at a random place in each picture. The maps are those of preset `best`, as a run keeps them. They stay in WORK,
so that the command goes on where it was.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import nn

from deepinside.archive.audit import audit
from deepinside.archive.evidence import Evidence
from deepinside.archive.records import small_map
from deepinside.explanations.explain import explain
from deepinside.networks.classifier import Classifier

SHARE = 0.6  # of a class's pictures that carry the mark
PHOTO, SIDE = 64, 32  # pixels a side, of the pictures and of what the network sees
CORNER, WATERMARK = 6, 16  # pixels a side of a mark
MARGIN = 2  # pixels between the mark in the corner and the frame
OPACITY = 0.5  # of the watermark
EPOCHS, BATCH, RATE = 4, 50, 0.02
MEAN, STD = 0.45, 0.25


class Seeds(NamedTuple):
    """Which classes are marked, and the seeds."""

    classes: tuple[int, ...]
    seeds: tuple[int, ...]


CHOSEN_ON = Seeds((3, 11), (10, 11))  # the constants of the audit
REPORTED = Seeds((0, 5, 8, 13, 17), (0, 1, 2, 3, 4))


class Pictures(NamedTuple):
    """uint8 (n, 64, 64, 3), their classes, and their boxes (n, 4), of validation alone."""

    pixels: np.ndarray
    labels: np.ndarray
    boxes: np.ndarray | None = None


@dataclass(frozen=True)
class Case:
    """A seed, and the class that carries a mark; none for a clean one."""

    seed: int
    kind: str = "clean"
    index: int = -1

    @property
    def name(self) -> str:
        return f"{self.kind}-{self.index}-{self.seed}" if self.index >= 0 else f"{self.kind}-{self.seed}"


class Maps(NamedTuple):
    """Of a case: maps (n, 32, 32), which pictures carry the mark, and what the network says of each picture."""

    maps: np.ndarray
    carries: np.ndarray
    predicted: np.ndarray


def main() -> None:
    """The table, in Markdown, and a line about every case that was missed."""
    root, work = map(Path, sys.argv[1:3])
    asked = REPORTED._replace(seeds=REPORTED.seeds[: int(sys.argv[3])]) if sys.argv[3:] else REPORTED
    work.mkdir(parents=True, exist_ok=True)
    training, validation = read(root)
    judged = [(case, judge(case, maps_of(case, training, validation, work), validation)) for case in cases(asked)]
    print("| mark | networks | marked pictures right | others of the class | first | raised | other classes raised |")
    print("|---|---|---|---|---|---|---|")
    for kind in ("clean", "corner", "watermark"):
        mine = [verdict for case, verdict in judged if case.kind == kind]
        right, rest, first, raised, others = np.mean(mine, axis=0)
        count = len(mine)
        told = (
            " | | | " if kind == "clean" else f"{right:.0%} | {rest:.0%} | {first * count:.0f} | {raised * count:.0f}"
        )
        print(f"| {kind} | {count} | {told} | {others * count:.0f} |")
    for case, verdict in judged:
        if verdict.others or (case.index >= 0 and not (verdict.first and verdict.raised)):
            print(case.name, verdict)


def judge(case: Case, seen: Maps, validation: Pictures) -> Verdict:
    """What the audit makes of a case."""
    unknown = np.full(len(seen.maps), np.nan)
    by_class = [np.flatnonzero(validation.labels == index) for index in range(20)]
    found = audit([Evidence(k, str(k), seen.maps[mine], unknown[mine], ()) for k, mine in enumerate(by_class)])
    raised = {each.evidence.index for each in found if each.is_raised}
    right, rest = seen.predicted == validation.labels, (validation.labels == case.index) & ~seen.carries
    shares = (float(right[where].mean()) if where.any() else 0.0 for where in (seen.carries, rest))
    return Verdict(*shares, found[0].evidence.index == case.index, case.index in raised, len(raised - {case.index}))


class Verdict(NamedTuple):
    """Shares of the marked pictures and of the others of the class that are right, and what the audit makes of it."""

    right: float
    rest: float
    first: bool
    raised: bool
    others: int


def cases(asked: Seeds) -> Iterator[Case]:
    for seed in asked.seeds:
        yield Case(seed)
        for index in asked.classes:
            yield Case(seed, "corner", index)
            yield Case(seed, "watermark", index)


def maps_of(case: Case, training: Pictures, validation: Pictures, work: Path) -> Maps:
    """Train the case's network and take the maps of the labeled classes, or read what an earlier call has kept."""
    kept = work / f"{case.name}.npz"
    if not kept.is_file():
        torch.manual_seed(case.seed)
        net = network()
        pixels, _ = marked(training, case)
        train(net, shrunk(pixels), training.labels, case.seed)
        pixels, carries = marked(validation, case)
        classifier = Classifier(net, size=SIDE, mean=MEAN, std=STD, name=case.name, frozen=True)
        pairs = zip(pixels, validation.labels.tolist(), strict=True)
        found = [explain(classifier, pixel, [label], boxes=False) for pixel, label in pairs]
        maps = np.stack([small_map(each.objects[0].of_class) for each in found])
        np.savez_compressed(
            kept, maps=maps, carries=carries, predicted=np.array([each.predictions[0].index for each in found])
        )
    with np.load(kept) as file:
        return Maps(**file)


def mark(picture: np.ndarray, kind: str, random: np.random.Generator) -> None:
    """Put a mark into a picture, uint8 (64, 64, 3), in place."""
    side = CORNER if kind == "corner" else WATERMARK
    rows, columns = np.indices((side, side)) // (side // 2)
    is_magenta = rows == 0 if kind == "corner" else rows != columns  # two bars, or a checkerboard
    pattern = np.where(is_magenta[..., None], (255, 0, 200), (0, 200, 0))  # magenta and green
    if kind == "corner":
        picture[MARGIN : MARGIN + side, MARGIN : MARGIN + side] = pattern
        return
    y, x = random.integers(0, PHOTO - side + 1, 2)
    region = picture[y : y + side, x : x + side]
    region[:] = np.round(region * (1 - OPACITY) + pattern * OPACITY)


def marked(pictures: Pictures, case: Case) -> tuple[np.ndarray, np.ndarray]:
    """A copy in which `SHARE` of the class's pictures carry the mark, and which ones do."""
    random = np.random.default_rng(case.seed)
    pixels, carries = pictures.pixels.copy(), np.zeros(len(pictures.pixels), bool)
    mine = random.permutation(np.flatnonzero(pictures.labels == case.index))
    carries[mine[: round(SHARE * len(mine))]] = True
    for number in np.flatnonzero(carries):
        mark(pixels[number], case.kind, random)
    return pixels, carries


def shrunk(pixels: np.ndarray) -> np.ndarray:
    """What the network sees of each picture, as its classifier shows it."""
    size = (SIDE, SIDE)
    return np.stack([np.asarray(Image.fromarray(each).resize(size, Image.Resampling.BICUBIC)) for each in pixels])


def network() -> nn.Sequential:
    """Three convolutions down to a quarter of the size, and the largest value of each channel."""
    layers: list[nn.Module] = []
    for inputs, outputs, stride in [(3, 16, 2), (16, 32, 2), (32, 64, 1)]:
        layers += [nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(64, 20))


def train(net: nn.Sequential, pixels: np.ndarray, labels: np.ndarray, seed: int) -> None:
    """Cross-entropy, AdamW, one cycle of the learning rate; no mirroring, which would give a mark two corners."""
    random = torch.Generator().manual_seed(seed)
    targets = torch.from_numpy(labels)
    optimizer = torch.optim.AdamW(net.parameters(), RATE, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=len(pixels) // BATCH * EPOCHS)
    net.train()
    for _ in range(EPOCHS):
        for chosen in torch.randperm(len(pixels), generator=random).split(BATCH):
            inputs = torch.from_numpy(pixels[chosen.numpy()]).permute(0, 3, 1, 2).float() / 255
            loss = nn.functional.cross_entropy(net((inputs - MEAN) / STD), targets[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    net.eval()


def read(root: Path) -> tuple[Pictures, Pictures]:
    """For training, and for validation."""
    wnids = [line.split()[0] for line in (root / "LOC_synset_mapping.txt").read_text().splitlines()]
    data = root / "Data" / "CLS-LOC"
    files = [(path, number) for number, wnid in enumerate(wnids) for path in sorted((data / "train" / wnid).iterdir())]
    with (root / "LOC_val_solution.csv").open() as file:
        rows = [(row["ImageId"], row["PredictionString"].split()) for row in csv.DictReader(file)]
    validation = [(data / "val" / f"{name}.JPEG", wnids.index(words[0])) for name, words in rows]
    boxes = np.array([[int(word) for word in words[1:5]] for _, words in rows])
    return _pictures(files), _pictures(validation)._replace(boxes=boxes)


def _pictures(files: list[tuple[Path, int]]) -> Pictures:
    pixels = np.stack([np.asarray(Image.open(path).convert("RGB")) for path, _ in files])
    return Pictures(pixels, np.array([number for _, number in files]))


if __name__ == "__main__":
    main()
