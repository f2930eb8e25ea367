"""Looking in changes nothing, and sees what a hand-made pass through the network sees."""

import threading

import pytest
import torch
from torch import nn

from deepinside.core.errors import DeepInsideError
from deepinside.gradients.folded import _Spending
from deepinside.gradients.private import private_view
from deepinside.gradients.probe import IMAGE, look
from helpers import state_of


@pytest.fixture
def images():
    return torch.rand(3, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


CLASSES = torch.tensor([[0, 1], [2, 3], [4, 4]])


def test_gradients_at_image_and_layers_equal_autograd_by_hand(small_network, images):
    network = small_network.eval()
    seen = look(private_view(network), images, CLASSES, (IMAGE, "0", "5"))
    pixels = images.clone().requires_grad_()
    first = network[0](pixels)
    middle = network[5](network[4](network[3](network[2](network[1](first.clone())))))
    logits = network[9](network[8](network[7](network[6](middle))))
    assert torch.allclose(seen.logits, logits.detach(), rtol=1e-12, atol=1e-14)
    for image in range(3):
        for k in range(2):
            score = logits[image, CLASSES[image, k]]
            by_hand = torch.autograd.grad(score, (pixels, first, middle), retain_graph=True)
            for ours, theirs in zip(seen.gradients, by_hand, strict=True):
                assert torch.allclose(ours[image, k], theirs[image], rtol=1e-12, atol=1e-14)
    for ours, theirs in zip(seen.activations, (pixels, first, middle), strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-12, atol=1e-14)


def test_deep_layer_alone_gives_the_same_as_together_with_the_image(small_network, images):
    private = private_view(small_network)
    alone = look(private, images, CLASSES, ("5",))
    together = look(private, images, CLASSES, ("5", IMAGE))
    assert torch.allclose(alone.gradients[0], together.gradients[0], rtol=1e-12)


def test_classes_can_be_chosen_from_the_logits(small_network, images):
    seen = look(private_view(small_network), images, lambda logits: logits.topk(2).indices)
    assert torch.equal(seen.classes, seen.logits.topk(2).indices)


@pytest.mark.parametrize("training", [True, False])
def test_the_network_is_as_before(small_network, images, training):
    small_network.train(training)
    small_network[9].weight.requires_grad_(False)
    small_network[0].weight.grad = torch.ones_like(small_network[0].weight)
    before = state_of(small_network)
    look(private_view(small_network), images, CLASSES, (IMAGE, "5"))
    with pytest.raises(DeepInsideError):
        look(private_view(small_network), images, CLASSES + 9)
    with pytest.raises(DeepInsideError):
        look(private_view(small_network), images * float("nan"), CLASSES)
    assert state_of(small_network) == before


def test_a_private_copy_keeps_no_taps(small_network, images):
    private = private_view(small_network)
    before = state_of(private)
    with pytest.raises(DeepInsideError):
        look(private, images, CLASSES + 9, ("0", "5"))
    assert state_of(private) == before


def test_training_mode_networks_are_seen_in_evaluation_mode(small_network, images):
    trained = look(private_view(small_network.train()), images, CLASSES)
    assert torch.equal(trained.logits, look(private_view(small_network.eval()), images, CLASSES).logits)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_modes_around_the_call_do_not_matter(small_network, images, mode):
    expected = look(private_view(small_network), images, CLASSES).gradients[0]
    with mode():
        assert torch.equal(look(private_view(small_network), images * 1, CLASSES).gradients[0], expected)


def test_a_network_made_in_inference_mode_can_be_looked_into():
    with torch.inference_mode():
        network = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    images = torch.rand(1, 3, 2, 2)
    seen = look(private_view(network), images, torch.tensor([[1]]))
    assert torch.allclose(seen.gradients[0].flatten(), network[1].weight[1].clone())


def test_in_place_layer_after_a_tap_does_not_spoil_what_was_read():
    network = nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(8, 2))
    images = torch.rand(1, 3, 2, 2)
    seen = look(private_view(network), images, torch.tensor([[0]]), ("0",))
    assert torch.allclose(seen.activations[0], network[0](images).detach(), atol=1e-6)
    assert (seen.activations[0] < 0).any()


def test_network_that_writes_into_its_input_leaves_the_images_alone():
    class Shift(nn.Module):
        def forward(self, images):
            return images.sub_(0.5).flatten(1)[:, :2]

    images = torch.rand(2, 3, 4, 4)
    before = images.clone()
    look(private_view(Shift()), images, torch.tensor([[0], [1]]))
    assert torch.equal(images, before)


def test_threads_looking_into_one_network_that_another_trains(small_network, images):
    network = small_network
    stop = threading.Event()

    def train():
        while not stop.is_set():
            with torch.enable_grad():
                network(images).sum().backward()

    expected = look(private_view(network), images, CLASSES, ("5",)).gradients[0]
    # Training mode moves the running statistics; without momentum the weights' values stay, the passes do not.
    network[1].momentum = 0.0
    trainer = threading.Thread(target=train)
    trainer.start()
    wrong = []

    def watch():
        for _ in range(20):
            if not torch.allclose(look(private_view(network), images, CLASSES, ("5",)).gradients[0], expected):
                wrong.append(1)

    watchers = [threading.Thread(target=watch) for _ in range(4)]
    for thread in watchers:
        thread.start()
    for thread in watchers:
        thread.join()
    stop.set()
    trainer.join()
    assert not wrong


def test_unknown_layer_names_near_ones(small_network, images):
    network = nn.ModuleDict({"features": small_network})
    network.forward = None
    with pytest.raises(DeepInsideError, match=r"did you mean features\.5"):
        look(private_view(network), images, CLASSES, ("feature.5",))


def test_layer_that_does_not_run_is_named(images):
    class Spare(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.spare = nn.Flatten(), nn.Flatten()

        def forward(self, images):
            return self.used(images)

    with pytest.raises(DeepInsideError, match="did not run its layer 'spare'"):
        look(private_view(Spare()), images, CLASSES, ("spare",))


@pytest.mark.parametrize(
    "classes", [torch.tensor([1, 2, 3]), torch.tensor([[1]]), torch.zeros(3, 1, 1, dtype=torch.long)]
)
def test_classes_of_another_shape_are_named(unchecked, small_network, images, classes):
    with pytest.raises(DeepInsideError, match=r"expected targets of shape \(3, k\)"):
        look(private_view(small_network), images, classes)


@pytest.mark.parametrize("wrong", [5, 17, -1])
def test_a_class_that_is_not_there_is_named(small_network, images, wrong):
    with pytest.raises(DeepInsideError, match=f"classes from 0 to 4.*got {wrong}"):
        look(private_view(small_network), images, torch.tensor([[0], [4], [wrong]]))


@pytest.mark.parametrize(("classes", "layers", "reads", "once"), [
    ([[1], [2], [0]], ("",), (), True), ([[1, 2], [2, 3], [4, 4]], ("",), (), False),
    ([[1], [2], [0]], ("", "5"), (), False), ([[1], [2], [0]], ("5",), (), False),
    ([[1], [2], [0]], ("",), ("5",), False),
])  # fmt: skip
def test_memory_is_spent_in_the_only_backward_pass_that_nobody_reads(
    small_network, images, classes, layers, reads, once
):
    private = private_view(small_network)
    private.spending = _Spending()
    look(private, images, torch.tensor(classes), layers, reads=reads)
    assert private.spending.once == once
