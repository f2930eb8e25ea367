"""Small networks, real ones and real images for all tests."""

import os
from pathlib import Path

# Tests run offline: a hub that is asked must refuse at once. Set before anything imports it.
os.environ["HF_HUB_OFFLINE"] = "1"

import pytest
import torch
from hypothesis import settings
from jaxtyping import config
from torch import nn

# The first example compiles numba kernels, and machines are shared: time is measured in benchmarks, not here.
settings.register_profile("shared machine", deadline=None)
settings.load_profile("shared machine")

REPOSITORY = Path(__file__).parents[1]


def pytest_configure(config):
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def lite0():
    from deepinside import load

    return load("lite0")


@pytest.fixture(scope="session")
def photos():
    return REPOSITORY / "photos"


@pytest.fixture(scope="session")
def ilsvrc():
    """650 real validation images; they are not part of the repository."""
    root = REPOSITORY.parent / "shared" / "ilsvrc-val-dev"
    if not root.is_dir():
        pytest.skip("the ILSVRC validation sample is not beside the repository")
    return root


@pytest.fixture
def small_network():
    """A network of every usual kind of layer, on 8 x 8 pixels, five classes; in float64 so that oracles are sharp."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Dropout(0.3),
        nn.Conv2d(6, 8, 3),
        nn.SiLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 5),
    ).double()
    network[1].running_mean.normal_()
    network[1].running_var.uniform_(0.5, 2)
    return network


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


@pytest.fixture
def unchecked():
    """Annotations are not checked, so that the message a user would get is what a test sees."""
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)
