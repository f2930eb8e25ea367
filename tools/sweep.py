"""A sweep over architectures: are saliency and logits those of plain autograd and of the library's own pipeline?

    python tools/sweep.py --out build/sweep.jsonl                    # all that has not been run, then the table
    python tools/sweep.py --out build/sweep.jsonl --only resnet      # those with this in their names, again
    python tools/sweep.py --out build/sweep.jsonl --report           # the table of what has been run

For each network of `sweep_networks.py`, with random weights: `saliency` of the module is compared with autograd in
float64, and the logits of `explain` with those of the library's own transform or processor, for a photo of the
network's size; both localizers are run. Each network has a process of its own, forked from this one, one thread, and a
time limit. The table goes between the marks in `docs/compatibility.md`. A run that was interrupted is continued.
"""

import argparse
import json
import multiprocessing
import os
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from unittest.mock import patch

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import timm
import torch
import transformers
from PIL import Image
from sweep_networks import Subject, names, subject

import deepinside
from deepinside import Classifier, DeepInsideError, explain, load, saliency

REPOSITORY = Path(__file__).parents[1]
PAGE = REPOSITORY / "docs" / "compatibility.md"
BEGIN, END = "<!-- sweep: begin -->", "<!-- sweep: end -->"
LIMIT = 180  # seconds a network
WORKERS = 2
ROUNDING = 3  # times the error of plain autograd in float32
SALIENCY, LOGITS = 1e-2, 5e-3  # relative errors beyond which a network is marked


def main() -> None:
    """Parse, run what is wanted, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="where results are kept, a line of JSON a network")
    parser.add_argument("--only", help="networks with this text in their names, also those that were run before")
    parser.add_argument("--report", action="store_true", help="only write the table")
    arguments = parser.parse_args()
    done = read(arguments.out)
    wanted = [name for name in names() if arguments.only in name] if arguments.only else set(names()) - set(done)
    if not arguments.report:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(WORKERS) as pool, arguments.out.open("a", encoding="utf-8") as stream:
            for result in pool.map(in_process, sorted(wanted)):
                print(json.dumps(result), file=stream, flush=True)
                print(row(result), flush=True)
    write_table(read(arguments.out))


def read(path: Path) -> dict[str, dict]:
    """The last result of each network."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return {result["name"]: result for result in map(json.loads, lines)}


def in_process(name: str) -> dict:
    """The result of a network from a process of its own, which may fail, hang or be killed."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=send, args=(name, sender))
    start = time.monotonic()
    process.start()
    sender.close()
    try:
        result = receiver.recv() if receiver.poll(LIMIT) else {"failed": f"no result after {LIMIT} s"}
    except EOFError:
        result = {"failed": "the process ended without a result"}
    process.kill()
    process.join()
    return {"name": name, **result, "seconds": round(time.monotonic() - start, 1)}


def send(name: str, sender: Connection) -> None:
    """In the process of a network: measure it, and send the result."""
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    with tempfile.TemporaryDirectory() as folder:
        try:
            sender.send(measured(name, folder))
        except Exception as error:
            sender.send({"failed": short(error)})


def measured(name: str, folder: str) -> dict:
    """All figures of a network; what is refused stands there with its reason."""
    tested = subject(name, folder)
    photo = Image.open(REPOSITORY / "photos" / "cat.jpg").convert("RGB").resize(tested.size[::-1])
    result = {"parameters": sum(parameter.numel() for parameter in tested.network.parameters()), "size": tested.size}
    try:
        pixels = tested.prepare(photo)
        expected = logits_of(tested.network(pixels)).detach()
        target = int(expected.argmax())
        result |= attempt("saliency", lambda: errors_of_saliency(tested, subject(name, folder), pixels, target))
    except Exception as error:
        result["saliency_refused"] = f"its library's own pixels do not fit it: {short(error)}"
    try:
        classifier = classified(name, tested, folder)
    except DeepInsideError as error:
        return result | {"refused": short(error)}
    result |= attempt("logits", lambda: error_of_logits(classifier, photo, expected))
    for preset in ("best", "paper"):
        result |= attempt(preset, lambda preset=preset: boxes(classifier, photo, preset))
    stages = classifier.stages(tested.size)
    return result | {"layers": [stages.fine, stages.middle, stages.last]}


def attempt(what: str, compute: Callable[[], float | dict]) -> dict:
    """A figure by its name, or why there is none; what is not a `DeepInsideError` is a defect."""
    try:
        figures = compute()
        return figures if isinstance(figures, dict) else {what: figures}
    except DeepInsideError as error:
        return {f"{what}_refused": short(error)}
    except Exception as error:
        return {f"{what}_refused": f"DEFECT {short(error)}"}


def classified(name: str, tested: Subject, folder: str) -> Classifier:
    """The classifier as a user gets it: loaded from a folder, or around the module."""
    if name.startswith("hf:"):
        return load(f"hf:{folder}")
    return Classifier(tested.network, size=tested.size, mean=tested.mean, std=tested.std, frozen=True)


def errors_of_saliency(tested: Subject, again: Subject, pixels: torch.Tensor, target: int) -> dict:
    """Relative errors of the map of one image, ours and plain autograd's in float32, against autograd in float64.

    The second one says how much of the first is rounding, which rectifiers near zero amplify. `again` is the same
    network, built once more.
    """
    got = saliency(tested.network, pixels, target).double()
    plain = plain_map(tested.network, pixels, target)
    exact = plain_map(again.network.double(), pixels.double(), target)
    ours, rounding = (float((each - exact).norm() / exact.norm()) for each in (got, plain))
    return {"saliency": ours, "rounding": rounding}


def plain_map(network: torch.nn.Module, pixels: torch.Tensor, target: int) -> torch.Tensor:
    """The largest magnitude over the channels of plain autograd's gradient, with batch normalization by its formula."""
    image = pixels.clone().requires_grad_()
    with patch("torch.nn.functional.batch_norm", partial(normalized, torch.nn.functional.batch_norm)):
        score = logits_of(network(image))[:, target].sum()
        return torch.autograd.grad(score, image)[0].abs().amax(1).double()


def normalized(own, values, mean, variance, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5):
    """Batch normalization in evaluation mode by its formula, and else PyTorch's `own`.

    PyTorch 2.14 back-propagates wrongly through its own on a CPU where the gradient comes back in another order in
    memory, as from tokens; finite differences tell.
    """
    if training:
        return own(values, mean, variance, weight, bias, training, momentum, eps)
    around = (1, -1, *[1] * (values.ndim - 2))
    result = (values - mean.view(around)) * (variance + eps).rsqrt().view(around)
    result = result if weight is None else result * weight.view(around)
    return result if bias is None else result + bias.view(around)


def error_of_logits(classifier: Classifier, photo: Image.Image, expected: torch.Tensor) -> float:
    """The largest difference among the five likeliest classes, relative to the spread of all logits."""
    found = explain(classifier, photo, boxes=False).objects
    largest = max(abs(each.score - float(expected[0, each.index])) for each in found)
    return largest / max(float(expected.std()), 1e-6)


def boxes(classifier: Classifier, photo: Image.Image, preset: str) -> int:
    """How many of the two likeliest classes got a box."""
    return sum(each.box is not None for each in explain(classifier, photo, top=2, preset=preset).objects)


def logits_of(output: Any) -> torch.Tensor:
    """The logits in what a network returns."""
    output = getattr(output, "logits", output)
    return output[0] if isinstance(output, (tuple, list)) else output


def short(error: Exception) -> str:
    """An exception in one line, with its class where it is not ours."""
    text = " ".join(str(error).split())
    return f"{'' if isinstance(error, DeepInsideError) else type(error).__name__ + ': '}{text}"[:200]


# --------------------------------------------------------------------------------------------------------- the table


def write_table(results: dict[str, dict]) -> None:
    """Put the table of all results where it belongs in the page."""
    known = [results[name] for name in names() if name in results]
    versions = ", ".join(
        f"{module.__name__} {module.__version__}" for module in (torch, timm, transformers, deepinside)
    )
    right = [result for result in known if is_right(result)]
    text = "\n".join([
        BEGIN,
        "",
        f"{len(right)} of {len(known)} architectures give autograd's map and their library's logits ({versions}).",
        "",
        "| architecture | parameters | saliency | autograd in float32 | logits | `best` looks at | remarks |",
        "|---|--:|--:|--:|--:|---|---|",
        *map(row, known),
        "",
        END,
    ])  # fmt: skip
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    PAGE.write_text(before + text + rest.partition(END)[2], encoding="utf-8")


def is_right(result: dict) -> bool:
    """Whether saliency and logits are within their tolerances."""
    return (
        result.get("saliency", 1) <= max(SALIENCY, ROUNDING * result.get("rounding", 0))
        and result.get("logits", 1) <= LOGITS
    )


def row(result: dict) -> str:
    """One line of the table."""
    millions = f"{result['parameters'] / 1e6:.1f} M" if "parameters" in result else ""
    layers = ", ".join(f"`{name.removeprefix('model.')}`" for name in dict.fromkeys(result.get("layers", ())) if name)
    cells = [f"`{result['name']}`", millions, *(figure(result, what) for what in ("saliency", "rounding", "logits"))]
    return f"| {' | '.join([*cells, layers, remarks(result)])} |"


def figure(result: dict, what: str) -> str:
    """An error as a cell of the table, in bold beyond its tolerance."""
    limits = {
        "saliency": max(SALIENCY, ROUNDING * result.get("rounding", 0)),
        "rounding": float("inf"),
        "logits": LOGITS,
    }
    value, limit = result.get(what), limits[what]
    if value is None:
        return "" if what == "rounding" else "refused"
    return f"{value:.0e}" if value <= limit else f"**{value:.0e}**"


def remarks(result: dict) -> str:
    """The reasons of all refusals, each once."""
    reasons = {}
    for what in ("failed", "refused", "saliency_refused", "logits_refused", "best_refused", "paper_refused"):
        if what in result:
            reasons.setdefault(result[what].replace("|", "\\|"), []).append(what.partition("_")[0])
    return "; ".join(f"{', '.join(dict.fromkeys(whats))}: {reason}" for reason, whats in reasons.items())


if __name__ == "__main__":
    main()
