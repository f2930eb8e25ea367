"""Groups of options: what typer sees, what a command gets, and defaults that stand once."""

import inspect
import subprocess
import sys
from dataclasses import dataclass, replace
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from deepinside import cli, cli_options
from deepinside.cli_options import Machine, Network, Training, options
from deepinside.core.errors import DeepInsideError

COMMANDS = {command.name or command.callback.__name__: command.callback for command in cli.app.registered_commands}


@dataclass(frozen=True)
class Size:
    width: Annotated[int, typer.Option(min=1, help="Across.")] = 3
    height: Annotated[int | None, typer.Option(help="Down.", show_default="the width")] = None


WIDE = Size(width=9)


def invoked(command, *arguments):
    app = typer.Typer()
    app.command()(options(command))
    return CliRunner().invoke(app, [*arguments], env={"COLUMNS": "80", "TERM": "dumb"})


def test_a_command_gets_its_groups_and_its_own_parameters():
    heard = []

    def command(
        name: Annotated[str, typer.Argument()], size: Size, loud: Annotated[bool, typer.Option("--loud")] = False
    ) -> None:
        heard.append((name, size, loud))

    assert invoked(command, "x", "--height", "5", "--loud").exit_code == 0
    assert invoked(command, "y").exit_code == 0
    assert heard == [("x", Size(3, 5), True), ("y", Size(), False)]


def test_a_command_may_have_defaults_of_its_own():
    heard = []

    def command(size: Size = WIDE) -> None:
        heard.append(size)

    invoked(command)
    invoked(command, "--width", "2")
    assert heard == [Size(9), Size(2)]
    assert Size() == Size(3), "the group's are those of the others"


def test_help_and_limits_are_the_fields():
    def command(size: Size) -> None:
        """What it does."""

    text = invoked(command, "--help").output
    assert "What it does." in text
    assert "--width" in text
    assert "Across." in text
    assert "[default: 3]" in text
    assert "[default: (the width)]" in text
    assert invoked(command, "--width", "0").exit_code == 2


def test_groups_that_share_a_name_are_refused_at_once():
    def command(one: Size, other: Size) -> None: ...

    with pytest.raises(ValueError, match="duplicate"):
        options(command)


def test_a_required_option_of_a_group_is_required():
    @dataclass(frozen=True)
    class Needed:
        neuron: Annotated[str, typer.Option()]

    def command(needed: Needed) -> None: ...

    command.__annotations__ = {"needed": Needed, "return": None}
    assert invoked(command).exit_code == 2
    assert invoked(command, "--neuron", "a:1").exit_code == 0


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_that_runs_a_network_takes_a_device(name):
    parameters = inspect.signature(COMMANDS[name]).parameters
    no_network = ("models", "export", "review", "report", "audit")
    assert ("device" in parameters) == (name not in no_network)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_no_help_text_holds_what_rich_takes_for_markup(name):
    for parameter in inspect.signature(COMMANDS[name]).parameters.values():
        (told,) = parameter.annotation.__metadata__
        assert "[" not in (told.help or "")


@pytest.mark.parametrize(("name", "default"), [
    ("localize", "(deepinside-out)"), ("localize", "(cpu)"), ("saliency", "(the image)"), ("saliency", "paper"),
    ("class-image", "(the paper's Figure 1)"), ("class-image", "(the preset's)"), ("evaluate-class-images", "(lite1)"),
    ("train", "(4096; 1024 below 128 pixels)"), ("train", "(by the number of cores)"), ("train", "224"),
    ("reproduce", "(the recipe's)"), ("evaluate", "baselines"),
])  # fmt: skip
def test_defaults_are_shown(name, default):
    text = CliRunner().invoke(cli.app, [name, "--help"], env={"COLUMNS": "200", "TERM": "dumb"}).output
    assert f"[default: {default}]" in text


def test_training_options_make_a_setup():
    asked = Training(recipe="modern", hidden_units=7, epochs=2, learning_rate=0.5, dropout=0.1, seed=3)
    setup = asked.setup()
    assert (setup.size, setup.hidden_units, setup.dropout, setup.seed) == (224, 7, 0.1, 3)
    assert (setup.recipe.name, setup.recipe.epochs, setup.recipe.learning_rate, setup.recipe.batch) == (
        "modern", 2, 0.5, 128,
    )  # fmt: skip
    with pytest.raises(DeepInsideError, match="did you mean paper"):
        replace(asked, recipe="papre").setup()


def test_defaults_of_the_command_are_those_of_the_library():
    """They stand twice where the library's may not be imported for a help text, and are the same."""
    from deepinside.class_images.drawn import Settings
    from deepinside.training.recipe import PAPER
    from deepinside.training.train import Resources, Setup

    assert Training().setup() == Setup(PAPER)
    assert replace(Machine().resources(), workers=0) == Resources()
    assert cli_options.ClassImages().settings() == Settings()


@pytest.mark.parametrize(("cores", "processes", "workers"), [(1, 1, 0), (2, 1, 0), (8, 2, 3), (64, 1, 16), (64, 16, 3)])
def test_processes_share_the_cores_for_reading(monkeypatch, cores, processes, workers):
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
    assert Machine().resources().workers == workers
    assert Machine(workers=5).resources().workers == 5


def test_a_network_is_loaded_with_its_labels_on_its_device(tmp_path):
    (tmp_path / "net.py").write_text(
        "from torch import nn\nfrom deepinside import Classifier\n"
        "net = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), size=2)\n"
    )
    (tmp_path / "labels.txt").write_text("ant\nbee\n")
    asked = Network(f"{tmp_path / 'net.py'}:net", labels=tmp_path / "labels.txt", device="cpu")
    classifier = asked.load()
    assert classifier.labels.find("bee") == 1
    with pytest.raises(DeepInsideError, match="expected a device of this machine"):
        replace(asked, device="cuda:99").load()


def test_options_load_nothing_heavy():
    code = "import sys; from deepinside import cli_options; assert not {'torch', 'numpy', 'PIL'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_a_shell_completes_is_what_the_library_knows():
    from deepinside.archive.run import LEAST
    from deepinside.class_images import gallery, recipes
    from deepinside.explanations import explain, export, presets
    from deepinside.gradients import rectifiers
    from deepinside.networks.sources import listings
    from deepinside.training.recipe import RECIPES

    assert set(cli_options.PRESETS) == set(presets.PRESETS)
    assert set(cli_options.METHODS) == set(presets.OTHERS)
    assert set(cli_options.OBJECTS) == set(explain.OBJECTS)
    assert set(cli_options.RULES) == set(rectifiers.RULES)
    assert set(cli_options.FORMATS) == set(export.FORMATS)
    assert inspect.signature(COMMANDS["run"]).parameters["min_probability"].default == LEAST
    assert set(cli_options.CLASS_IMAGES) == set(recipes.PRESETS)
    assert set(cli_options.ANIMATIONS) == set(gallery.ANIMATIONS)
    assert set(cli_options.RECIPES) == set(RECIPES)
    known = [line.spec for line in listings()]
    assert all(any(spec.startswith(name) for spec in known) for name in cli_options.MODELS)


@pytest.mark.parametrize("name", ["", *sorted(COMMANDS)])
def test_no_help_text_is_clipped_on_a_terminal_of_80_columns(name):
    arguments = [name, "--help"] if name else ["--help"]
    narrow, wide = (
        CliRunner().invoke(cli.app, arguments, env={"COLUMNS": columns, "TERM": "dumb"}).output
        for columns in ("80", "300")
    )
    assert "…" not in narrow
    assert max(map(len, narrow.splitlines())) <= 80
    letters = [sorted("".join(text.split()).replace("─", "")) for text in (narrow, wide)]
    frames = "│╭╮╰╯"
    assert [each for each in letters[0] if each not in frames] == [each for each in letters[1] if each not in frames]
