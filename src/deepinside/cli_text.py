"""What the command prints of each result, as lines for `cli_streams.say`."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from deepinside.core.errors import DeepInsideError

if TYPE_CHECKING:
    from deepinside.archive.report import Report as Page
    from deepinside.archive.review_list import Waiting
    from deepinside.archive.run import Begun
    from deepinside.core.progress import Note
    from deepinside.core.results import Contrast, Detection, Explanation
    from deepinside.explanations.results import Reconstruction
    from deepinside.networks.layers import Layer
    from deepinside.reproduction.reproduce import Report
    from deepinside.training.train import Epoch, Trained

NEXT = {  # commands for a run, and what they are for
    "report {}": "look through it",
    "review {}": "which photos need a person first",
    "audit {}": "which classes are decided by something odd",
    "export {} coco": "labels for other tools",
}
MOST_REASONS = 5  # why photos have failed, that are told one by one
LABEL, WIDEST_LABEL = 32, 60  # characters; a longer label moves its own box to the right


def boxes_text(path: Path, explanation: Explanation) -> Iterator[str]:
    """A photo with its classes, and the box of each object in the photo's own pixels."""
    yield f"{path}  {explanation.width} x {explanation.height}{_of_crops(explanation)}"
    width = min(max([LABEL, *(len(detection.label) for detection in explanation.objects)]), WIDEST_LABEL)
    for first, *others in explanation.by_class:
        yield f"  {first.probability:>6.1%}  {first.label:<{width}} box {_corners(first)}"
        for number, detection in enumerate(others, start=2):
            yield f"  {'':>6}  {f'  object {number}':<{width}} box {_corners(detection)}"


def classes_text(path: Path, explanation: Explanation) -> str:
    """A photo with its classes."""
    classes = ", ".join(f"{seen.label} {seen.probability:.1%}" for seen, *_ in explanation.by_class)
    return f"{path}  {classes}{_of_crops(explanation)}"


def rule_text(seen: Reconstruction | DeepInsideError) -> str:
    """How many rectifiers a rule acted on, or why it could not."""
    if isinstance(seen, DeepInsideError):
        return str(seen)
    if seen.rule == "gradient":
        return "back-propagation as it is"
    others = ", ".join(f"{count} {name}" for name, count in seen.others.items())
    return f"acted on {sum(seen.rectifiers.values())} rectifiers" + (f"; plain gradient at {others}" if others else "")


def contrast_text(seen: Contrast) -> Iterator[str]:
    """A line for each of two classes, and one for the difference of their scores."""
    for side in (seen.first, seen.second):
        yield f"  {side.probability:6.1%}  score {side.score:8.3f}  {side.label}"
    yield f"  {seen.first.label} against {seen.second.label}: {seen.difference:+.3f}"


def layers_text(layers: list[Layer]) -> Iterator[str]:
    """A line for each layer: name, kind, shape, and grid if there is one."""
    width = max((len(layer.name) for layer in layers), default=0)
    for layer in layers:
        shape = " x ".join(map(str, layer.shape))
        grid = f"grid {layer.grid[0]} x {layer.grid[1]}" if layer.grid else ""
        yield f"{layer.name:<{width}}  {layer.kind:<22} {shape:<18} {grid}".rstrip()


def training_text(event: Note | Epoch | Trained, epochs: int) -> str:
    """What the leading process prints of a training event; `epochs` is the number of all epochs."""
    from deepinside.core.progress import Note
    from deepinside.training.train import Trained

    if isinstance(event, Note):
        return event.text
    if isinstance(event, Trained):
        return f"ten-crop test: top-1 {event.ten_crop[0]:.1%}, top-5 {event.ten_crop[1]:.1%}"
    return (
        f"epoch {event.epoch:>3}/{epochs}  learning rate {event.learning_rate:.2e}  loss {event.loss:.4f}  "
        f"training top-1 {event.training_top1:.1%}  validation top-1 {event.top1:.1%}  top-5 {event.top5:.1%}  "
        f"{event.images_per_second:.0f} images/s"
    )


def report_text(report: Report) -> str:
    """The errors of a reproduction on one line."""
    trained = report.trained
    line = f"top-1 error {1 - trained.curve[-1].top1:.1%}, ten crops {1 - trained.ten_crop[0]:.1%}"
    if report.evaluation is None:
        return f"{line}; no boxes, so no localization figure"
    rows = report.evaluation.rows
    methods = ("paper", "center_box", "whole_image")
    told = ", ".join(f"{name} {rows[name].figures['top5_error'].value:.1%}" for name in methods)
    return f"{line}; top-5 localization error: {told}"


def run_text(begun: Begun, failures: int, seconds: float) -> str:
    """What a run has done, on one line.

    >>> from deepinside.archive.run import Begun
    >>> run_text(Begun(done=100, failed=1, left=20), 2, 4.0)
    '20 photos: 18 done, 2 failed, 5.0 a second; from before: 100 done, 1 failed'
    >>> run_text(Begun(done=120, failed=0, left=0), 0, 0.1)
    'nothing left to do; from before: 120 done, 0 failed'
    """
    done, rate = begun.left - failures, begun.left / seconds
    now = f"{begun.left:,} photos: {done:,} done, {failures:,} failed, {rate:.1f} a second"
    before = f"; from before: {begun.done:,} done, {begun.failed:,} failed" if begun.done + begun.failed else ""
    return (now if begun.left else "nothing left to do") + before


def page_text(written: Page) -> str:
    """How many photos are on the page of a run, and what it lacks."""
    lacks = [f"{written.failed} failed"] * (written.failed > 0)
    lacks += [f"{written.unread} without a thumbnail, since they cannot be read any more"] * (written.unread > 0)
    return f"{written.photos} photos{': ' if lacks else ''}{', '.join(lacks)}"


def reasons_text(reasons: Counter[str]) -> Iterator[str]:
    """The reasons why photos of a run have failed, the most frequent first, and how often others occur.

    >>> list(reasons_text(Counter({"expected a photo": 1200})))
    ['   1,200 failed: expected a photo']
    """
    told = reasons.most_common(MOST_REASONS)
    yield from (f"  {count:>6,} failed: {reason}" for reason, count in told)
    if len(reasons) > len(told):
        yield f"  {reasons.total() - sum(count for _, count in told):>6,} failed for other reasons"


def next_text(folder: Path) -> Iterator[str]:
    """What one can do with a run.

    >>> list(next_text(Path("my cats")))[0]
    "  next: deepinside report 'my cats'       look through it"
    """
    commands = [command.format(shlex.quote(str(folder))) for command in NEXT]
    width = max(map(len, commands))
    for number, (command, what) in enumerate(zip(commands, NEXT.values(), strict=True)):
        lead = "next:" if number == 0 else ""
        yield f"  {lead:<5} deepinside {command:<{width}}  {what}"


def waiting_text(photo: Waiting) -> str:
    """A photo that needs a person, how likely that is, and why."""
    return f"  {photo.need:>4.0%}  {photo.photo}  {photo.why}"


def _corners(detection: Detection) -> str:
    return " ".join(f"{corner:>5}" for corner in detection.box.as_tuple())


def _of_crops(explanation: Explanation) -> str:
    """What a probability is of, where it is not of the whole photo: so two commands may give one photo two."""
    from deepinside.core.results import WHOLE

    shown = explanation.about.logits
    return "" if shown == WHOLE else f"  (probabilities: {shown})"
