"""Training: one step by hand, fifty pictures by heart, runs that are cut off, damaged, or shared by two processes."""

import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from deepinside import explain, load, read
from deepinside.core.errors import DeepInsideError
from deepinside.core.progress import Note, Progress
from deepinside.networks.convnet2013 import ConvNet2013, he_
from deepinside.training.augment import Augmentation
from deepinside.training.recipe import MODERN, PAPER
from deepinside.training.train import (
    Epoch,
    Resources,
    Setup,
    Trained,
    center_view,
    optimizer_of,
    predict,
    scheduler_of,
    step,
    ten_views,
    train,
)

SOURCE = Path(__file__).parents[2] / "src"
NO_CAST = torch.autocast("cpu", enabled=False)
SETUP = Setup(replace(MODERN, epochs=3, batch=8), size=32, hidden_units=16)
CPU = Resources("cpu", "float32")


def write_pictures(root, train=8, val=4, classes=(("ant", (180, 60, 60)), ("bee", (60, 60, 180)))):
    """Noise around one color a class: learnable, and no two pictures alike."""
    rng = np.random.default_rng(0)
    for split, count in (("train", train), ("val", val)):
        for name, color in classes:
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                noise = rng.normal(0, 50, (36, 44, 3)) + color
                Image.fromarray(noise.clip(0, 255).astype(np.uint8)).save(root / split / name / f"{i}.png")
    return root


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    """The folder and the events of a run of three epochs that was not interrupted."""
    run = tmp_path_factory.mktemp("runs") / "run"
    return run, list(train(data, run, SETUP, CPU))


@pytest.fixture(scope="module")
def trained(finished):
    """The folder of that run, and its outcome."""
    return finished[0], finished[1][-1]


def texts(events):
    return [event.text for event in events if isinstance(event, Note)]


# ----------------------------------------------------------------------------------------------------------- one step


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_two_steps_equal_hand_written_ones(smoothing):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 6), nn.ReLU(), nn.Linear(6, 3)).double()
    recipe = replace(PAPER, label_smoothing=smoothing, learning_rate=0.1)
    w1, b1, w2, b2 = (parameter.detach().clone() for parameter in network.parameters())
    velocity = [torch.zeros_like(each) for each in (w1, b1, w2, b2)]
    optimizer = optimizer_of(network, recipe)
    for seed in range(2):
        generator = torch.Generator().manual_seed(seed)
        images = torch.randn(4, 3, 2, 2, dtype=torch.float64, generator=generator)
        labels = torch.randint(3, (4,), generator=generator)
        loss, right = step(network, optimizer, images, labels, recipe, NO_CAST)

        x = images.flatten(1)
        before = x @ w1.T + b1
        hidden = before.clamp(min=0)
        logits = hidden @ w2.T + b2
        p = logits.exp() / logits.exp().sum(dim=1, keepdim=True)
        wanted = torch.eye(3, dtype=torch.float64)[labels] * (1 - smoothing) + smoothing / 3
        torch.testing.assert_close(loss, -(wanted * p.log()).sum(dim=1).mean())
        assert right == (logits.argmax(dim=1) == labels).sum()
        signal_out = (p - wanted) / 4
        signal_in = (signal_out @ w2) * (before > 0)
        gradients = [
            signal_in.T @ x + 5e-4 * w1, signal_in.sum(0), signal_out.T @ hidden + 5e-4 * w2, signal_out.sum(0),
        ]  # fmt: skip
        for weight, gradient, speed in zip((w1, b1, w2, b2), gradients, velocity, strict=True):
            speed.mul_(0.9).add_(gradient)
            weight.sub_(0.1 * speed)
    for parameter, by_hand in zip(network.parameters(), (w1, b1, w2, b2), strict=True):
        torch.testing.assert_close(parameter.detach(), by_hand, rtol=1e-10, atol=1e-12)


def test_gradients_are_clipped_to_the_recipes_norm():
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    recipe = replace(PAPER, clip_norm=1e-3)
    step(
        network,
        optimizer_of(network, recipe),
        torch.randn(4, 3, 2, 2),
        torch.zeros(4, dtype=torch.long),
        recipe,
        NO_CAST,
    )
    norm = torch.stack([parameter.grad.norm() for parameter in network.parameters()]).norm()
    assert norm.item() == pytest.approx(1e-3, rel=1e-3)


def test_the_papers_learning_rate_is_divided_by_ten_when_validation_stalls():
    network = nn.Linear(2, 2)
    optimizer = optimizer_of(network, PAPER)
    scheduler = scheduler_of(optimizer, PAPER, 1)
    rates = []
    for error in [0.9, 0.8, *[0.8] * 6, 0.7]:
        scheduler.step(error)
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([0.01] * 7 + [0.001] * 2)


def test_a_cycle_rises_to_the_learning_rate_and_ends_near_zero():
    optimizer = optimizer_of(nn.Linear(2, 2), MODERN)
    scheduler = scheduler_of(optimizer, MODERN, 10)
    rates = []
    for _ in range(MODERN.epochs * 10):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert max(rates) == pytest.approx(MODERN.learning_rate)
    assert rates.index(max(rates)) == pytest.approx(len(rates) * 0.2, abs=2)
    assert rates[-1] < MODERN.learning_rate / 1000


# ------------------------------------------------------------------------------------------------- what it can learn


def fifty_crops(photos):
    names = sorted(path for path in photos.iterdir() if path.suffix == ".jpg")
    pictures = [read(path).image for path in names]
    rng = np.random.default_rng(0)
    crops = []
    for number in range(50):
        picture = pictures[number % len(pictures)]
        x, y = (int(rng.integers(0, side - 120)) for side in picture.size)
        crops.append(np.asarray(picture.crop((x, y, x + 120, y + 120)).resize((32, 32))))
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 255


def test_the_network_learns_fifty_crops_of_photos_by_heart(photos):
    """Labels are drawn at random, so that nothing but each picture itself can tell its class."""
    images = fifty_crops(photos)
    images = images - images.mean(dim=0)
    labels = torch.randint(5, (50,), generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    network = ConvNet2013(5, size=32, hidden_units=64, dropout=0.0)
    he_(network)
    recipe = replace(MODERN, label_smoothing=0.0, learning_rate=1e-3)
    optimizer = optimizer_of(network, recipe)
    right = 0
    for _ in range(60):
        _, right = step(network, optimizer, images / 0.25, labels, recipe, NO_CAST)
        if right == 50:
            break
    assert right == 50


# --------------------------------------------------------------------------------------------------- views and means


def test_ten_views_are_the_corners_the_center_and_their_mirror_images():
    pictures = torch.rand(2, 3, 9, 9)
    views = ten_views(pictures, 7)
    assert views.shape == (10, 2, 3, 7, 7)
    for view, (y, x) in zip(views[:5], [(0, 0), (0, 2), (2, 0), (2, 2), (1, 1)], strict=True):
        assert torch.equal(view, pictures[:, :, y : y + 7, x : x + 7])
    assert torch.equal(views[5:], views[:5].flip(-1))
    assert torch.equal(center_view(pictures, 7)[0], views[4])


def test_predictions_are_the_mean_probability_over_views():
    network = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(48, 3))
    views = torch.rand(10, 2, 3, 4, 4)
    by_hand = sum(F.softmax(network[2](view.flatten(1)), dim=1) for view in views) / 10
    torch.testing.assert_close(predict(network, views, NO_CAST), by_hand.detach())


def test_the_runs_network_subtracts_the_mean_of_the_training_pictures_exactly(data, trained):
    run, _ = trained
    squares = []
    for path in sorted((data / "train").rglob("*.png")):
        picture = Image.open(path).resize((37, 37), Image.Resampling.BICUBIC, box=(4, 0, 40, 36), reducing_gap=3.0)
        squares.append(np.asarray(picture)[2:34, 2:34])
    mean = torch.from_numpy(np.stack(squares).astype(np.float64).mean(axis=0) / 255).permute(2, 0, 1).float()
    network = load(str(run)).network
    torch.testing.assert_close(network.mean, mean, rtol=0, atol=1e-7)
    seen = []
    handle = network.model.features.conv1.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    image = torch.rand(1, 3, 32, 32)
    network(image)
    handle.remove()
    torch.testing.assert_close(seen[0], (image - mean) / MODERN.std)


# --------------------------------------------------------------------------------------------------------- whole runs


def test_a_run_learns_and_leaves_a_classifier_with_names(data, trained):
    run, result = trained
    assert result.curve[-1].loss < result.curve[0].loss
    assert result.curve[-1].top1 == 1.0
    assert result.ten_crop[0] == 1.0
    assert (run / "curve.csv").read_text().splitlines()[0] == (
        "epoch,learning_rate,loss,training_top1,top1,top5,images_per_second"
    )
    assert len((run / "curve.csv").read_text().splitlines()) == 4
    classifier = load(str(run))
    assert classifier.size == (32, 32)
    assert [classifier.labels.name(i) for i in range(2)] == ["ant", "bee"]
    assert explain(classifier, data / "val" / "bee" / "0.png", top=1).objects[0].label == "bee"


def curve_of(run):
    checkpoint = json.loads(sorted(run.glob("epoch-*.json"))[-1].read_text())
    return [{key: value for key, value in row.items() if key != "images_per_second"} for row in checkpoint["curve"]]


def command(data, run, *more, epochs=3):
    arguments = ["train", data, "--out", run, "--recipe", "modern", "--size", 32, "--hidden-units", 16, "--batch", 8]
    options = ["--epochs", epochs, "--device", "cpu", "--precision", "float32", *more]
    return [sys.executable, "-m", "deepinside.cli", *map(str, [*arguments, *options])]


def environment(**more):
    return os.environ | {"PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"} | more


def test_a_run_tells_what_it_found_how_far_it_is_and_every_epoch(finished):
    run, events = finished
    assert events[0] == Progress("training pictures", 16, 16)
    assert events[1] == Progress("validation pictures", 8, 8)
    assert texts(events) == ["2 classes, 16 training and 8 validation pictures"]
    of_one_epoch = [Progress("epoch 2", 1, 2), Progress("epoch 2", 2, 2), Progress("epoch 2, validation", 1, 1)]
    first = events.index(of_one_epoch[0])
    assert events[first : first + 3] == of_one_epoch
    assert events[first + 3] == events[-1].curve[1]
    assert [event.epoch for event in events if isinstance(event, Epoch)] == [1, 2, 3]
    assert [type(event) for event in events[-2:]] == [Progress, Trained]
    assert len(list(run.glob("epoch-*.json"))) == 2


def test_the_callers_random_numbers_and_the_trainings_are_apart(data, trained, tmp_path):
    """Whoever draws between two events changes nothing, and draws as if no training had been there."""
    torch.manual_seed(7)
    drawn = [torch.rand(1).item() for _ in train(data, tmp_path / "run", SETUP, CPU)]
    torch.manual_seed(7)
    assert drawn == [torch.rand(1).item() for _ in drawn]
    assert curve_of(tmp_path / "run") == curve_of(trained[0])


def test_nothing_is_printed(data, tmp_path, capfd):
    once = replace(SETUP, recipe=replace(SETUP.recipe, epochs=1))
    list(train(data, tmp_path / "run", once, CPU))
    assert capfd.readouterr() == ("", "")


def test_a_run_killed_in_the_middle_goes_on_to_the_same_curve(data, trained, tmp_path):
    whole, _ = trained
    run = tmp_path / "run"
    process = subprocess.Popen(command(data, run), env=environment(), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("epoch   1/3"):
            process.send_signal(signal.SIGKILL)
            break
    assert process.wait() == -signal.SIGKILL
    process.stdout.close()
    begun = curve_of(run)
    assert 1 <= len(begun) < 3
    events = train(data, run, SETUP, CPU)
    assert texts(events)[1].startswith(f"continuing after epoch {len(begun)} of 3")
    assert curve_of(run) == curve_of(whole)
    states = [load(str(each)).network.state_dict() for each in (run, whole)]
    assert all(torch.equal(one, states[1][name]) for name, one in states[0].items())


def test_a_damaged_checkpoint_is_told_in_one_line_and_the_one_before_used(data, trained, tmp_path):
    whole, _ = trained
    run = tmp_path / "run"
    run.mkdir()
    for path in whole.iterdir():
        (run / path.name).write_bytes(path.read_bytes())
    (run / "epoch-0003.safetensors").write_bytes(b"damaged")
    warnings = [line for line in texts(train(data, run, SETUP, CPU)) if line.startswith("warning")]
    assert len(warnings) == 1
    assert "epoch-0003.safetensors: the checkpoint is damaged" in warnings[0]
    assert curve_of(run) == curve_of(whole)


def test_a_set_too_large_for_memory_takes_the_same_course(data, trained, tmp_path, monkeypatch):
    monkeypatch.setattr("deepinside.training.train.fits", lambda *_: False)
    (tmp_path / "data").mkdir()
    for split in ("train", "val"):
        (tmp_path / "data" / split).symlink_to(data / split)
    list(train(tmp_path / "data", tmp_path / "run", SETUP, CPU))
    assert curve_of(tmp_path / "run") == curve_of(trained[0])


def test_two_processes_take_the_same_course_as_one(data, tmp_path):
    """With dropout off: its masks are each process's own."""
    list(train(data, tmp_path / "one", replace(SETUP, dropout=0.0), CPU))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    both = [
        subprocess.Popen(
            command(data, tmp_path / "two", "--dropout", 0),
            env=environment(
                RANK=str(rank), WORLD_SIZE="2", LOCAL_RANK=str(rank), MASTER_ADDR="127.0.0.1", MASTER_PORT=port
            ),
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    said = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert said[0].count("epoch") == 3
    assert said[1] == "", "only one process speaks"
    for one, two in zip(curve_of(tmp_path / "one"), curve_of(tmp_path / "two"), strict=True):
        assert two == pytest.approx(one, rel=1e-4)


# ------------------------------------------------------------------------------------------------- what can go wrong


def test_pictures_that_cannot_be_read_are_named_and_the_run_goes_on(tmp_path):
    root = write_pictures(tmp_path / "data", train=5, val=2)
    (root / "train" / "ant" / "3.png").write_bytes(b"no picture")
    events = list(train(root, tmp_path / "run", replace(SETUP, recipe=replace(SETUP.recipe, epochs=1)), CPU))
    assert (len(events[-1].training), len(events[-1].validation)) == (9, 4)
    assert root / "train" / "ant" / "3.png" not in [entry.path for entry in events[-1].training]
    heard = texts(events)
    assert heard[1] == "warning: 1 pictures cannot be read and are left out:"
    assert "3.png" in heard[2]


@pytest.mark.parametrize(("change", "message"), [
    ({"size": 40}, "setup that this run began with, but size"),
    ({"recipe": replace(SETUP.recipe, learning_rate=0.1)}, "recipe.learning_rate"),
    ({"recipe": replace(SETUP.recipe, augmentation=Augmentation())}, "recipe.augmentation.smallest"),
])  # fmt: skip
def test_a_run_goes_on_as_it_began_or_not_at_all(data, trained, change, message):
    run, _ = trained
    with pytest.raises(DeepInsideError, match=message):
        list(train(data, run, replace(SETUP, **change), CPU))


def test_a_run_of_a_version_with_other_names_is_refused_in_one_line(data, trained, tmp_path):
    for path in trained[0].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    for path in tmp_path.glob("*.json"):
        facts = json.loads(path.read_text())
        facts["setup"]["recipe"]["rate"] = facts["setup"]["recipe"].pop("learning_rate")
        path.write_text(json.dumps(facts))
    with pytest.raises(DeepInsideError, match=r"setup that this run began with, but recipe\.\w*rate") as refused:
        list(train(data, tmp_path, SETUP, CPU))
    assert "\n" not in str(refused.value)


def test_a_run_of_other_classes_is_refused(trained, tmp_path):
    root = write_pictures(tmp_path / "data", 2, 1, (("ant", (0, 0, 0)), ("bee", (9, 9, 9)), ("cat", (99, 99, 99))))
    with pytest.raises(DeepInsideError, match="the model that this run began with, but synonyms"):
        list(train(root, trained[0], SETUP, CPU))


def test_a_run_of_other_pictures_is_refused(trained, tmp_path):
    root = write_pictures(tmp_path / "data", classes=(("ant", (180, 60, 60)), ("bee", (60, 60, 181))))
    with pytest.raises(DeepInsideError, match="the pictures that this run began with, but"):
        list(train(root, trained[0], SETUP, CPU))


EDITS = [
    {"curve": 7}, {"curve": []}, {"curve": [{}] * 3}, {"curve": [7] * 3}, {"groups": None}, {"groups": [{}, {}]},
    {"groups": "sgd"}, {"scheduler": []}, {"scheduler": {}}, {"scheduler": None}, {"setup": 7}, {"setup": []},
    {"model": "ant"}, {"pictures": ["x" * 10_000]},
]  # fmt: skip


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: str(edit)[:24])
def test_a_run_whose_facts_were_edited_is_refused_in_one_line(data, trained, tmp_path, edit):
    edit_run(trained[0], tmp_path, lambda facts: facts.update(edit))
    with pytest.raises(DeepInsideError, match="expected the") as refused:
        list(train(data, tmp_path, SETUP, CPU))
    assert len(str(refused.value).splitlines()) == 1
    assert len(str(refused.value)) < 600


@pytest.mark.parametrize(("place", "value"), [
    (("groups", 0, "lr"), "fast"), (("groups", 1, "betas"), None), (("groups", 0, "params"), []),
    (("scheduler", "last_epoch"), "3"), (("scheduler", "_last_lr"), 5), (("curve", 1, "top1"), None),
    (("curve", 0, "more"), 1), (("curve", 0, "epoch"), True),
])  # fmt: skip
def test_values_of_other_types_deep_in_a_run_are_refused_in_one_line(data, trained, tmp_path, place, value):
    *path, last = place

    def edit(facts):
        for key in path:
            facts = facts[key]
        facts[last] = value

    edit_run(trained[0], tmp_path, edit)
    with pytest.raises(DeepInsideError, match="expected the state of this run") as refused:
        list(train(data, tmp_path, SETUP, CPU))
    assert len(str(refused.value).splitlines()) == 1


def edit_run(finished, folder, edit):
    """A copy of a run, with the facts of all its checkpoints changed."""
    for path in finished.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    for path in folder.glob("*.json"):
        facts = json.loads(path.read_text())
        edit(facts)
        path.write_text(json.dumps(facts))


@pytest.mark.parametrize(("pictures", "batch", "epochs"), [(1, 8, 1), (5, 2, 1), (5, 1, 1), (5, 10, 5), (2, 1000, 1)])
@pytest.mark.parametrize("recipe", [MODERN, PAPER])
def test_the_smallest_runs_come_to_an_end(tmp_path, recipe, pictures, batch, epochs):
    """One picture a class, a batch larger than the data, and as few steps in all as one or five."""
    root = write_pictures(tmp_path / "data", pictures, 1)
    setup = replace(SETUP, recipe=replace(recipe, batch=batch, epochs=epochs))
    *_, last = train(root, tmp_path / "run", setup, CPU)
    assert len(last.curve) == epochs
    assert all(np.isfinite(epoch.loss) for epoch in last.curve)


@pytest.mark.parametrize("steps", range(1, 12))
def test_a_cycle_of_any_length_ends_near_zero(steps):
    optimizer = torch.optim.AdamW([nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = scheduler_of(optimizer, replace(MODERN, epochs=1), steps)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    highest = rates.index(max(rates))
    assert max(rates) <= MODERN.learning_rate * (1 + 1e-9)
    assert rates == sorted(rates[: highest + 1]) + sorted(rates[highest + 1 :], reverse=True)
    assert rates[-1] < 0.01 * MODERN.learning_rate


@pytest.mark.parametrize("kept", [0, 1])
def test_a_full_disk_is_told_in_one_line_with_what_is_kept(data, tmp_path, monkeypatch, kept):
    write = Path.write_bytes

    def full(self, content):
        if f"epoch-000{kept + 1}" in self.name:
            raise OSError(28, "No space left on device")
        return write(self, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(DeepInsideError, match="No space left on device") as told:
        list(train(data, tmp_path / "run", SETUP, CPU))
    assert str(told.value).endswith("the run is kept up to epoch 1, from which it can go on" if kept else "is not kept")
    assert len(str(told.value).splitlines()) == 1
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == ({"epoch-0001.json", "epoch-0001.safetensors", "curve.csv"} if kept else set())
    monkeypatch.undo()
    assert curve_of(tmp_path / "run") if kept else True
    *_, last = train(data, tmp_path / "run", SETUP, CPU)
    assert len(last.curve) == 3


def test_a_run_that_cannot_be_written_is_refused_before_the_pictures_are_read(data, tmp_path):
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "run", Path("/proc/run")):
        with pytest.raises(DeepInsideError, match="expected a folder to write into"):
            next(train(data, place, SETUP, CPU))
    with pytest.raises(DeepInsideError, match="training"):
        next(train(tmp_path / "none", tmp_path / "new", SETUP, CPU))
    assert not (tmp_path / "new").exists(), "the check leaves no traces"


def test_what_a_killed_run_left_is_cleared(data, trained, tmp_path):
    edit_run(trained[0], tmp_path, lambda facts: None)
    left = tmp_path / ".epoch-0002.json.0123456789abcdef.deepinside.part"
    left.write_text("{")
    list(train(data, tmp_path, SETUP, CPU))
    assert not left.exists()


def test_a_loss_that_runs_away_is_told(data, tmp_path):
    setup = replace(SETUP, recipe=replace(PAPER, learning_rate=1e20, epochs=2, batch=4))
    with pytest.raises(DeepInsideError, match="the loss is no longer finite; try a lower --learning-rate"):
        list(train(data, tmp_path / "run", setup, CPU))


@pytest.mark.parametrize("option", [{"precision": "float8"}, {"device": "cuda"}])
def test_settings_that_cannot_be_had_are_refused(data, tmp_path, option):
    if option.get("device") == "cuda" and torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(DeepInsideError, match="expected a"):
        list(train(data, tmp_path / "run", SETUP, replace(CPU, **option)))


def test_tensorboard_gets_the_curve(data, tmp_path):
    pytest.importorskip("tensorboard")
    list(train(data, tmp_path, replace(SETUP, recipe=replace(SETUP.recipe, epochs=1)), CPU, tensorboard=True))
    assert list((tmp_path / "tensorboard").glob("events*"))
