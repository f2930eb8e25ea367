"""What several tests share. Imports nothing of the package, whose annotations are checked only if imported later."""

import csv
from html.parser import HTMLParser

import numpy as np
import torch
from PIL import Image
from torch import nn


def state_of(network):
    """Everything about a network that a call must leave alone, comparable with ==."""
    tensors = {
        name: (tensor.detach().numpy().tobytes(), tensor.requires_grad, tensor.grad is None, tensor._version)
        for name, tensor in [*network.named_parameters(), *network.named_buffers()]
    }
    modules = {
        name: (
            module.training,
            len(module._forward_hooks),
            len(module._forward_pre_hooks),
            len(module._backward_hooks),
            sorted(module.__dict__),
        )
        for name, module in network.named_modules()
    }
    return tensors, modules


NAMES = ["red", "green", "blue"]
BASELINES = {"center_box", "whole_image", "center_gaussian", "classification"}
CAMS = {"grad_cam", "grad_cam_oracle", "layer_cam", "layer_cam_oracle"}


class Colors(nn.Module):
    """Global average pooling of three features, one a color, and a linear layer that reads one class off each."""

    def __init__(self):
        super().__init__()
        self.features = nn.Conv2d(3, 3, 3, padding=1, padding_mode="replicate")
        self.rectify = nn.Softplus(beta=10)  # curved, so that gradients differ from place to place
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.scores = nn.Linear(3, 3)
        with torch.no_grad():
            excess = 1.5 * torch.eye(3) - 0.5  # of a color over the mean of the others
            self.features.weight.copy_(excess[:, :, None, None].expand(3, 3, 3, 3) / 9)
            self.features.bias.fill_(-0.1)
            self.scores.weight.copy_(100 * torch.eye(3))
            self.scores.bias.zero_()

    def forward(self, images):
        return self.scores(self.pool(self.rectify(self.features(images))).flatten(1))


def grays_too():
    """Colors that answers to brightness and to the frame as well, so that no photo leaves it without an answer."""
    network = Colors()
    network.features.padding_mode = "zeros"
    with torch.no_grad():
        network.features.weight += 0.02 * torch.arange(1, 4)[:, None, None, None]  # unequal, so that none are tied
    return network


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def annotated(folder):
    """Photos with a square of one color, the box around it, and one photo that is not there."""
    rng = np.random.default_rng(0)
    rows = [("image", "label", "x0", "y0", "x1", "y1")]
    for number in range(6):
        x, y, side = rng.integers(0, 24), rng.integers(0, 16), rng.integers(10, 30)
        pixels = rng.integers(90, 110, (48, 64, 3), dtype=np.uint8)
        channel = number % 3
        pixels[y : y + side, x : x + side] = 20
        pixels[y : y + side, x : x + side, channel] = 230
        Image.fromarray(pixels).save(folder / f"{number}.png")
        label = NAMES[channel] if number != 5 else NAMES[0]  # the last one is annotated wrongly
        rows.append((f"{number}.png", label, x, y, min(x + side, 64), min(y + side, 48)))
    rows.append(("missing.png", "red", 0, 0, 5, 5))
    rows.append(("0.png", "unicorn", 0, 0, 64, 48))
    with open(folder / "boxes.csv", "w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder


def with_masks(folder):
    """The same with a mask for each photo but the first: the left half of the box."""
    lines = ["image,label,x0,y0,x1,y1,mask"]
    for row in rows_of(folder / "boxes.csv")[:6]:
        image, label, *corners = row.values()
        x0, y0, x1, y1 = map(int, corners)
        values = np.zeros((48, 64), np.uint8)
        values[y0:y1, x0 : (x0 + x1) // 2] = 255
        Image.fromarray(values).save(folder / f"mask-{image}")
        lines.append(",".join([image, label, *corners, "" if image == "0.png" else f"mask-{image}"]))
    (folder / "boxes.csv").write_text("\n".join(lines))
    return folder


def disc_scene():
    """A red disc on blue, with noise; seeds that know a part of each."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[:60, :80]
    disc = (y - 30) ** 2 + (x - 35) ** 2 < 15**2
    image = np.where(disc[..., None], [0.8, 0.2, 0.1], [0.1, 0.3, 0.7]) + random.normal(0, 0.05, (60, 80, 3))
    inner = (y - 30) ** 2 + (x - 35) ** 2 < 5**2
    corner = (y < 8) | (x > 70)
    return image.clip(0, 1).astype(np.float32), disc, inner, corner


class Page(HTMLParser):
    """Every attribute that makes a browser fetch or run something, and the text."""

    def __init__(self, content):
        super().__init__()
        self.fetched, self.tags, self.text, self.ids = [], set(), "", set()
        self.feed(content)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        for name, value in attributes:
            if name in ("src", "href", "srcset", "data", "poster", "action", "background"):
                self.fetched.append(value)
            if name == "id":
                self.ids.add(value)

    def handle_data(self, data):
        self.text += data


TONES = ["red", "green", "blue", "dark", "light", "grey"]


class Tones(nn.Module):
    """Logits are how much the mean color stands out, and how dark, light and grey the picture is."""

    def forward(self, images):
        means = images.mean(dim=(2, 3))
        level = means.mean(1, keepdim=True)
        return torch.cat([means - level, 0.45 - level, level - 0.55, 0.1 - means.std(1, keepdim=True)], dim=1)


def painter(name="painter", size=6):
    """A classifier of tones."""
    from deepinside import Classifier

    return Classifier(Tones(), labels=TONES, size=size, name=name)


def square(path, **options):
    """A photo of a red square on gray."""
    image = Image.new("RGB", (40, 30), "gray")
    image.paste("red", (8, 6, 24, 20))
    image.save(path, **options)


def noise_photos(folder, count):
    """Files of noise, each brighter than the one before; at most eight."""
    draw = np.random.default_rng(0)
    paths = [folder / f"photo-{number}.png" for number in range(count)]
    for number, path in enumerate(paths, start=1):
        Image.fromarray(draw.integers(0, 30 * number, (20, 30, 3), dtype=np.uint8)).save(path)
    return paths
