"""A private view is the module as it is at the moment of the call, and nothing that it does reaches the original."""

import threading
import types
import warnings

import pytest
import torch
import torchvision
from torch import nn
from torch.nn.utils import parametrizations, prune

from deepinside.core.errors import DeepInsideError
from deepinside.gradients.private import Snapshot, borrowed, independent_copy, private_view
from deepinside.gradients.saliency import saliency
from helpers import state_of


def by_hand(network, images, target=0):
    """Autograd on the network itself."""
    pixels = images.clone().requires_grad_()
    network.eval()(pixels)[:, target].sum().backward()
    return pixels.grad.abs().amax(dim=1)


class Heads(nn.Module):
    """An attribute decides which of two heads answers."""

    def __init__(self):
        super().__init__()
        self.features, self.task = nn.Conv2d(3, 4, 3), 0
        self.heads = nn.ModuleList([nn.Linear(4, 2), nn.Linear(4, 2)])

    def forward(self, images):
        return self.heads[self.task](torch.relu(self.features(images)).mean((2, 3)))


def plain():
    return nn.Sequential(
        nn.Conv2d(3, 6, 3),
        nn.BatchNorm2d(6),
        nn.LeakyReLU(0.01),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 2),
    )


def hooked(network):
    return network[2].register_forward_hook(lambda _module, _inputs, output: output * output)


@pytest.mark.parametrize(("make", "change"), [
    (Heads, lambda n: setattr(n, "task", 1)),
    (plain, lambda n: setattr(n[2], "negative_slope", 0.9)),
    (plain, lambda n: setattr(n[2], "forward", lambda signal: signal.tanh())),
    (plain, lambda n: setattr(n[2], "forward", types.MethodType(lambda self, signal: signal.sin(), n[2]))),
    (plain, lambda n: setattr(n[0], "stride", (2, 2))),
    (plain, lambda n: n[0].weight.data.__setitem__(slice(1, None), -n[0].weight.data[1:])),
    (plain, lambda n: n[1].running_var.data.mul_(3)),
    (plain, lambda n: n.__setitem__(2, nn.Tanh())),
    (plain, hooked),
    (plain, lambda n: setattr(n[5], "weight", nn.Parameter(torch.rand(2, 6)))),
    (plain, lambda n: n.load_state_dict({k: v + 1 for k, v in n.state_dict().items()})),
])  # fmt: skip
@pytest.mark.parametrize("times", [1, 2])
def test_a_call_answers_for_the_module_as_it_is(make, change, times):
    torch.manual_seed(0)
    network, images = make().eval(), torch.rand(2, 3, 12, 12)
    before = [saliency(network, images, 0) for _ in range(times)][-1]
    change(network)
    after = saliency(network, images, 0)
    assert torch.allclose(after, by_hand(network, images), rtol=1e-4, atol=1e-7)
    assert not torch.allclose(after, before, rtol=1e-2)


def test_hooks_that_are_exchanged_are_those_of_today():
    torch.manual_seed(0)
    network, images = plain().eval(), torch.rand(1, 3, 12, 12)
    handle = hooked(network)
    saliency(network, images, 0)
    handle.remove()
    network[2].register_forward_hook(lambda _module, _inputs, output: output.sin())
    assert torch.allclose(saliency(network, images, 0), by_hand(network, images), rtol=1e-4, atol=1e-7)


class Remembers(nn.Module):
    """Keeps activations, counts its calls in a container, and moves a buffer in evaluation mode."""

    def __init__(self):
        super().__init__()
        self.features, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)
        self.kept, self.calls, self.cache = None, [], {}
        self.register_buffer("average", torch.zeros(()))

    def forward(self, images):
        self.kept = self.features(images)
        self.calls.append(len(images))
        self.cache["last"] = self.kept
        self.average.mul_(0.5).add_(images.detach().mean())
        return self.head(self.kept.relu().mean((2, 3))) * (1 + self.average)


def test_what_a_forward_pass_keeps_does_not_reach_the_original():
    torch.manual_seed(0)
    network, images = Remembers(), torch.rand(2, 3, 9, 9)
    network(images)  # leaves tensors inside a graph behind, which copy.deepcopy refuses
    kept, average = network.kept, network.average.clone()
    private = private_view(network)
    private(images)
    assert network.kept is kept
    assert network.calls == [2]
    assert network.cache["last"] is kept
    assert torch.equal(network.average, average)
    assert private.calls == [2, 2]
    assert saliency(network, images, 0).shape == (2, 9, 9)


class Stubborn(nn.Module):
    """A `train` of its own keeps a batch norm in training mode."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(3)

    def train(self, mode=True):
        super().train(mode)
        self.norm.training = True
        return self

    def forward(self, images):
        return self.norm(images).mean((2, 3))


def test_running_statistics_stay():
    network = Stubborn().eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    saliency(network, torch.rand(2, 3, 5, 5), 0)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def normed(make):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # the older of two ways
        return make(nn.Linear(12, 2))


@pytest.mark.parametrize("make", [
    nn.utils.weight_norm, nn.utils.spectral_norm, parametrizations.weight_norm, parametrizations.spectral_norm,
    lambda layer: prune.random_unstructured(layer, "weight", 0.5),
])  # fmt: skip
def test_normed_and_pruned_networks_have_maps_after_a_step(make):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), normed(make))
    images = torch.rand(2, 3, 2, 2)
    network(images).sum().backward()
    assert torch.allclose(saliency(network, images, 1), by_hand(network, images, 1), rtol=1e-5, atol=1e-7)


def test_shared_modules_and_cycles_stay_what_they_are():
    network = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    network.append(network[0])
    network.registry = {"first": network[0], "itself": network}
    network[1].owner = [network]
    private = private_view(network)
    assert private[2] is private[0]
    assert private.registry["first"] is private[0]
    assert private.registry["itself"] is private
    assert private[1].owner[0] is private
    assert private[0] is not network[0]


def test_objects_that_cannot_be_copied_are_shared():
    network = nn.Linear(2, 2)
    network.lock = threading.Lock()
    assert private_view(network).lock is network.lock


class CopiesItself(nn.Linear):
    def __deepcopy__(self, memo):
        copied = CopiesItself(2, 2)
        copied.load_state_dict(self.state_dict())
        copied.is_copy = True
        return copied


def test_a_module_that_copies_itself_in_its_own_way_does():
    network = nn.Sequential(CopiesItself(2, 2))
    private = private_view(network)
    assert private[0].is_copy
    assert torch.equal(private[0].weight, network[0].weight)


def test_a_scripted_network_is_seen_too():
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        network = torch.jit.trace(plain().eval(), torch.rand(1, 3, 12, 12))
    images = torch.rand(1, 3, 12, 12)
    assert torch.allclose(saliency(network, images, 0), by_hand(network, images), rtol=1e-4, atol=1e-7)


def test_an_independent_copy_keeps_its_weights():
    torch.manual_seed(0)
    network, images = plain().eval(), torch.rand(1, 3, 12, 12)
    copied = independent_copy(network)
    expected = network(images).detach().clone()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    assert torch.equal(copied(images), expected)


def test_a_snapshot_lends_folded_copies_and_takes_them_back():
    torch.manual_seed(0)
    network, images = torchvision.models.resnet18(num_classes=5).eval(), torch.rand(1, 3, 64, 64)
    snapshot = Snapshot(network)
    with borrowed(snapshot, images) as first:
        assert not any(isinstance(module, nn.BatchNorm2d) for module in first.modules())
    with borrowed(snapshot, images) as second, borrowed(snapshot, images) as third:
        assert second is first
        assert third is not first, "two threads never share one"
    with borrowed(snapshot, images, "guided") as plainly:
        assert any(isinstance(module, nn.BatchNorm2d) for module in plainly.modules())
    assert torch.allclose(saliency(snapshot, images, 1), by_hand(network, images, 1), rtol=1e-3, atol=1e-5)


def test_a_snapshot_changes_nothing():
    network = plain()
    before = state_of(network)
    saliency(Snapshot(network), torch.rand(1, 3, 12, 12), 0)
    assert state_of(network) == before


def test_eight_threads_share_one_snapshot():
    torch.manual_seed(0)
    network = plain().eval()
    snapshot, images = Snapshot(network), torch.rand(8, 3, 12, 12)
    expected = by_hand(network, images)
    wrong = []

    def watch(number):
        for _ in range(20):
            map = saliency(snapshot, images[number : number + 1], 0)[0]
            if not torch.allclose(map, expected[number], rtol=1e-3, atol=1e-6):
                wrong.append(number)

    threads = [threading.Thread(target=watch, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_layers_without_weights_yet_are_told():
    with pytest.raises(DeepInsideError, match="run it once on an image first"):
        private_view(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.LazyLinear(2)))


def test_modules_that_cannot_be_copied_are_told():
    class Sealed(nn.Module):
        def __deepcopy__(self, memo):
            raise TypeError("one of a kind")

    with pytest.raises(DeepInsideError, match=r"Sealed cannot \(TypeError: one of a kind\)"):
        private_view(Sealed())
