"""Several starts: the best one by held-out views goes on, picture by picture, as if it had been alone."""

from dataclasses import dataclass, replace
from functools import partial

import pytest
import torch
from torch import Generator, nn

from deepinside.class_images.ascent import ascend, class_image
from deepinside.class_images.recipes import CANONICAL, PAPER, Recipe
from deepinside.class_images.starts import Try, best, draws
from deepinside.class_images.transforms import Recolor

GRAY = (0.5, 0.5, 0.5)


@dataclass(frozen=True)
class Brightness:
    """One value, the level of a gray image; at the start it is dark or bright."""

    size: tuple[int, int]

    def start(self, generator):
        return torch.where(torch.rand(1, 1, generator=generator) < 0.5, 0.25, 0.75)

    def __call__(self, values):
        return values[:, :, None, None].expand(-1, 3, *self.size)


class Hills(nn.Module):
    """A low hill at 0.2 and a high one at 0.8 for class 0, and the other way round for class 1."""

    def forward(self, images):
        level = images.mean((1, 2, 3))
        low, high = (torch.exp(-(((level - middle) / 0.15) ** 2)) for middle in (0.2, 0.8))
        return torch.stack([low + 3 * high, 3 * low + high], dim=1)


HILLS = Recipe(
    parametrization=lambda size, mean: Brightness(size),
    optimizer=partial(torch.optim.Adam, lr=0.02, maximize=True),
    steps=40,
)


def test_one_start_may_be_trapped_and_of_several_each_picture_keeps_its_best():
    def ends(starts):
        recipe = replace(HILLS, starts=starts, trial=0.25)
        images = [class_image(Hills(), [0, 1], preset=recipe, size=4, seed=seed, mean=GRAY) for seed in range(4)]
        return torch.stack(images).mean((2, 3, 4))

    alone, chosen = ends(1), ends(6)
    assert {round(level, 1) for level in alone[:, 0].tolist()} == {0.2, 0.8}
    assert chosen[:, 0].tolist() == pytest.approx([0.8] * 4, abs=0.02)
    assert chosen[:, 1].tolist() == pytest.approx([0.2] * 4, abs=0.02), "each of its own start"


def test_a_chosen_start_goes_on_as_if_it_had_been_alone():
    """Without random views, what follows is told by the values and the state of the optimizer."""
    recipe = replace(HILLS, starts=8, trial=0.25)
    whole = [step.images for step in ascend(Hills(), [0], preset=recipe, size=4, seed=3, mean=GRAY)]
    seeds = [generator.initial_seed() for generator in draws(3, 8)]
    alone = [[step.images for step in ascend(Hills(), [0], preset=HILLS, size=4, seed=s, mean=GRAY)] for s in seeds]
    good = next(images for images in alone if images[-1].mean() > 0.5)
    for step in range(10, 40):
        torch.testing.assert_close(whole[step], good[step], rtol=0, atol=1e-6)


@pytest.mark.parametrize("optimizer", [
    partial(torch.optim.Adam, lr=0.1, maximize=True),
    partial(torch.optim.SGD, lr=0.1, momentum=0.9, maximize=True),
    partial(torch.optim.SGD, lr=0.1, maximize=True),
])  # fmt: skip
def test_rows_are_taken_with_what_the_optimizer_knows_of_them(optimizer):
    canvas = Brightness((2, 2))

    def climb(*, values, generator):
        return values[:, 0], torch.rand(values.shape, generator=generator)

    tries = [Try.begin(canvas, optimizer, 3, torch.device("cpu"), generator) for generator in draws(0, 3)]
    for _ in range(4):
        for each in tries:
            each.step(climb, 0.1)
    values = torch.stack([each.values for each in tries])
    states = [dict(each.optimizer.state[each.values]) for each in tries]
    states = [{name: torch.as_tensor(value).clone() for name, value in state.items()} for state in states]
    chosen = best(tries, climb)
    for row, which in enumerate(values[:, :, 0].argmax(0).tolist()):
        assert chosen.values[row] == values[which, row]
        for name, value in chosen.optimizer.state[chosen.values].items():
            if torch.as_tensor(value).shape == values[0].shape:
                assert value[row] == states[which][name][row]
    assert torch.equal(chosen.images, canvas(chosen.values))


def test_starts_are_compared_on_the_same_views():
    """Scores of one image differ from view to view by more than those of these two images on one view."""
    canvas, seen = Brightness((2, 2)), []

    def climb(*, values, generator):
        seen.append(Recolor(0.0, 0.5)(canvas(values), generator).mean((1, 2, 3)))
        return seen[-1], torch.zeros_like(values)

    tries = [Try.begin(canvas, HILLS.optimizer, 1, torch.device("cpu"), generator) for generator in draws(0, 2)]
    tries[0].values[:], tries[1].values[:] = 0.5, 0.51
    assert best(tries, climb).values.item() == pytest.approx(0.51)
    first, second = torch.cat(seen).chunk(2)
    assert (second - first).tolist() == pytest.approx([0.01] * len(first), abs=1e-6)
    assert first.std() > 0.02


def test_the_first_start_is_the_one_that_a_single_start_has():
    one, *others = draws(7, 3)
    drawn = torch.rand(2, generator=Generator().manual_seed(7))
    assert torch.equal(torch.rand(2, generator=one), drawn)
    assert all(not torch.equal(torch.rand(2, generator=other), drawn) for other in others)


@pytest.mark.parametrize(("steps", "count"), [(3, 1), (90, 1), (99, 4), (400, 4)])
def test_a_trial_within_the_warm_up_is_none(steps, count):
    began = []

    class Counted(Brightness):
        def start(self, generator):
            began.append(generator.initial_seed())
            return super().start(generator)

    recipe = replace(HILLS, parametrization=lambda size, mean: Counted(size), starts=4, trial=1 / 9, warm_up=10)
    next(ascend(Hills(), [0], preset=replace(recipe, steps=steps), size=4, seed=5, mean=GRAY))
    assert len(began) == len(set(began)) == count
    assert began[0] == 5
    assert (PAPER.starts, CANONICAL.starts) == (1, 3)
