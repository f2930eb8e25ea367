"""`python -m deepinside`, in a process of its own, as a shell runs it."""

import os
import subprocess
import sys
from importlib.metadata import version

import pytest

import deepinside


def run(*arguments, **options):
    return subprocess.run([sys.executable, "-m", "deepinside", *arguments], text=True, **options)


def test_the_module_is_the_command():
    told = run("--version", capture_output=True)
    assert (told.returncode, told.stdout, told.stderr) == (0, f"deepinside {version('deepinside')}\n", "")
    assert deepinside.__version__ == version("deepinside")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["localize", "--help"]])
def test_a_full_standard_output_is_one_line_also_at_the_end_of_the_interpreter(arguments):
    with open("/dev/full", "w") as full:
        told = run(*arguments, stdout=full, stderr=subprocess.PIPE)
    assert told.returncode == 2
    assert told.stderr == "deepinside: standard output: No space left on device\n"


@pytest.mark.parametrize("arguments", [["--version"], ["--help"]])
def test_a_reader_who_has_left_is_told_nothing(arguments):
    reader, writer = os.pipe()
    os.close(reader)
    told = run(*arguments, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (told.returncode, told.stderr) == (141, "")


@pytest.mark.parametrize(("typed", "completions"), [
    ("deepinside sal", ["saliency"]),
    ("deepinside localize --preset p", ["paper"]),
    ("deepinside saliency --preset g", ["gradient-input", "gradcam"]),
    ("deepinside saliency --rule g", ["gradient", "guided"]),
    ("deepinside layers --model lite", ["lite0", "lite1", "lite2"]),
    ("deepinside localize --export m", ["masks"]),
    ("deepinside train --recipe m", ["modern"]),
])  # fmt: skip
def test_bash_completes_commands_and_names(typed, completions):
    words = typed.split(" ")
    asked = {"_DEEPINSIDE_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(len(words) - 1)}
    code = "import sys; sys.argv[0] = 'deepinside'; from deepinside.cli import main; main()"
    told = subprocess.run([sys.executable, "-c", code], env=os.environ | asked, capture_output=True, text=True)
    assert told.stdout.split() == completions
    assert told.stderr == ""
