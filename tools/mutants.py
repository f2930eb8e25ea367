"""Mutation testing: of wrong versions of the formulas, how many do the tests notice?

    python tools/mutants.py --out build/mutants.jsonl                # the whole sample
    python tools/mutants.py --out build/mutants.jsonl --only cut/    # one wing, or one file
    python tools/mutants.py --out build/mutants.jsonl --report       # the table of what has been run

cosmic-ray knows what can be exchanged in a file, and how. A seed puts the positions of each file in order, and of the
first ones one mutant each is taken, so that a larger sample contains a smaller one. Each mutant is written into a copy
of the repository. A process forked from this one, which has imported PyTorch already, runs the tests of the file and of
what uses it, the quick ones first, until one fails. A run that was interrupted is continued by the same command.

Not drawn: annotations, which compute nothing; and an arithmetic operator in place of a bitwise one or the other way
round, since floats raise a TypeError at the first call, which any test would notice.
"""

import argparse
import ast
import importlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter, defaultdict
from hashlib import sha256
from pathlib import Path
from typing import Any

from cosmic_ray.commands.init import _all_work_items
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator

REPOSITORY = Path(__file__).parents[1]
COPIED = ("src", "tests", "photos", "examples", "docs", "pyproject.toml", "README.md", "CHANGELOG.md")
PRELOADED = ("torch", "torchvision", "timm", "numba", "scipy.optimize", "hypothesis", "beartype", "jaxtyping", "pytest")

# Wing -> file -> how many mutants, and the tests to run, the file's own first.
SAMPLE = {
    "gradients": {
        "attribution.py": (4, "gradients/test_attribution.py"),
        "folded.py": (28, "gradients/test_folded.py"),
        "grids.py": (16, "gradients/test_grids.py gradients/test_targets.py"),
        "logits.py": (8, "gradients/test_logits.py"),
        "private.py": (12, "gradients/test_private.py gradients/test_probe.py gradients/test_saliency.py"),
        "probe.py": (22, "gradients/test_probe.py gradients/test_saliency.py"),
        "rectifiers.py": (22, "gradients/test_rectifiers.py"),
        "saliency.py": (24, "gradients/test_saliency.py"),
        "targets.py": (14, "gradients/test_targets.py"),
    },
    "cut": {
        "continuity.py": (44, "cut/test_continuity.py explanations/test_by_features.py"),
        "graphcut.py": (36, "cut/test_graphcut.py"),
        "kernels.py": (30, "cut/test_kernels.py cut/test_graphcut.py"),
    },
    "explanations": {
        "by_color.py": (20, "explanations/test_by_color.py explanations/test_explain.py"),
        "by_features.py": (30, "explanations/test_by_features.py explanations/test_explain.py"),
        "localizer.py": (14, "explanations/test_localizer.py explanations/test_explain.py"),
        "presets.py": (6, "explanations/test_presets.py explanations/test_explain.py"),
    },
}
SLOW = ("test_eight_threads_mixing_rules_on_one_network", "test_import_compiles_nothing")  # and never the first to fail
ARITHMETIC, BITWISE = (
    {"Add", "Sub", "Mul", "Div", "FloorDiv", "Mod", "Pow"},
    {"RShift", "LShift", "BitOr", "BitAnd", "BitXor"},
)


def main() -> None:
    """Run what is asked for and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="a line of JSON for each mutant; read again to go on")
    parser.add_argument("--only", default="", help="a wing, or a part of a file's path")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--share", type=float, default=1.0, help="of the sample: the first ones of each file")
    parser.add_argument("--report", action="store_true", help="print the table and run nothing")
    options = parser.parse_args()
    if not options.report:
        run(options)
    report(options.out)


def run(options: argparse.Namespace) -> None:
    """Every mutant of the sample that has no line in the file yet."""
    options.out.parent.mkdir(parents=True, exist_ok=True)
    done = {identity(row) for row in read(options.out)}
    for name in PRELOADED:
        importlib.import_module(name)
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        tree = Path(folder)
        for name in COPIED:
            if (REPOSITORY / name).exists():
                copy = shutil.copytree if (REPOSITORY / name).is_dir() else shutil.copy
                copy(REPOSITORY / name, tree / name)
        for cache in [*tree.rglob("__pycache__")]:
            shutil.rmtree(cache)
        for wing, file in [(wing, file) for wing, files in SAMPLE.items() for file in files]:
            name, (count, tests) = f"{wing}/{file}", SAMPLE[wing][file]
            count = round(count * options.share)
            path = tree / "src" / "deepinside" / name
            if options.only not in name:
                continue
            tests = [f"tests/{test}" for test in tests.split() if (tree / "tests" / test).exists()]
            chosen = [{"wing": wing, "file": name, **each} for each in draw(path, count, f"{options.seed} {name}")]
            left = [mutant for mutant in chosen if identity(mutant) not in done]
            if not left:
                continue
            outcome, seconds, note = tested(tree, tests, 1800, bytecode=True)
            print(f"{name}: {len(left)} mutants; without one the tests take {seconds:.0f} s", flush=True)
            if outcome != "survived":
                sys.exit(f"{name}: its tests fail without any mutant\n{note}")
            for mutant in left:
                row = {**mutant, **tried(tree, path, mutant, tests, 30 + 4 * seconds)}
                with open(options.out, "a") as out:
                    out.write(json.dumps(row) + "\n")
                print(f"  {row['outcome']:9} {row['seconds']:5.1f} s  {name}:{row['line']}  {row['after']}", flush=True)


def identity(mutant: dict) -> tuple:
    """What makes a mutant the same in another run: a file that has changed has other mutants."""
    return tuple(mutant[key] for key in ("file", "source", "operator", "occurrence"))


def draw(path: Path, count: int, seed: str) -> list[dict]:
    """As many mutants as asked for, each at a position of its own, with a hash of the source."""
    source = path.read_text()
    skipped = annotations(source)
    positions = defaultdict(list)
    for item in _all_work_items([path], {}):
        mutation = item.mutations[0]
        exchanged = set(mutation.operator_name.split("_")[1:])
        if exchanged & ARITHMETIC and exchanged & BITWISE:
            continue
        if any(start <= mutation.start_pos < end for start, end in skipped):
            continue
        positions[mutation.start_pos, mutation.end_pos].append(mutation)
    order = sorted(positions)
    random.Random(seed).shuffle(order)
    drawn: list[dict] = []
    for position in order:
        mutation = random.Random(f"{seed} {position}").choice(positions[position])
        if len(drawn) < count and compiles(
            mutate_code(source, get_operator(mutation.operator_name)(), mutation.occurrence)
        ):
            drawn.append({
                "operator": mutation.operator_name, "occurrence": mutation.occurrence, "line": position[0][0],
                "source": sha256(source.encode()).hexdigest()[:12],
            })  # fmt: skip
    return drawn


def compiles(source: str) -> bool:
    """Whether Python accepts a source: the star before keyword-only arguments is exchanged like a product's."""
    try:
        ast.parse(source)
    except SyntaxError:
        return False
    return True


def annotations(source: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Where annotations, and aliases of types, begin and end in a source, as lines and columns."""
    found = []
    for node in ast.walk(ast.parse(source)):
        found += [getattr(node, name, None) for name in ("annotation", "returns")]
        if isinstance(node, ast.Assign) and isinstance(node.value, (ast.Subscript, ast.BinOp)):
            aliases = [target.id for target in node.targets if isinstance(target, ast.Name)]
            found += [node.value for alias in aliases if alias[0].isupper() and not alias.isupper()]  # a type's name
    return [((n.lineno, n.col_offset), (n.end_lineno, n.end_col_offset)) for n in found if n is not None]


def tried(tree: Path, path: Path, mutant: dict, tests: list[str], timeout: float) -> dict:
    """What became of one mutant: killed, timeout (killed too) or survived."""
    original, stat = path.read_text(), path.stat()
    mutated = mutate_code(original, get_operator(mutant["operator"])(), mutant["occurrence"])
    lines = zip(original.splitlines(), mutated.splitlines(), strict=False)  # a decorator's line may be gone
    before, after = next((a.strip(), b.strip()) for a, b in lines if a != b)
    for stale in path.parent.glob(f"__pycache__/{path.stem}.*.pyc"):  # Python compares whole seconds and sizes
        stale.unlink()
    path.write_text(mutated)
    try:
        outcome, seconds, note = tested(tree, tests, timeout, bytecode=False)
    finally:
        path.write_text(original)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # so that what numba compiled of it still holds
    return {"before": before, "after": after, "outcome": outcome, "seconds": round(seconds, 1), "note": note}


class QuickFirst:
    """Runs the tests in the order of the seconds that they took last, which it keeps in a file."""

    def __init__(self, path: Path):
        self.path = path
        self.seconds = json.loads(path.read_text()) if path.exists() else {}

    def pytest_collection_modifyitems(self, items: list) -> None:
        """Sort; tests of unknown length come first."""
        items.sort(key=lambda item: self.seconds.get(item.nodeid, 0))

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Fixtures count for the test that needs them first."""
        before = 0 if report.when == "setup" else self.seconds[report.nodeid]
        self.seconds[report.nodeid] = before + report.duration

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """Keep the seconds of a whole run."""
        if exitstatus == 0:
            self.path.write_text(json.dumps(self.seconds))


def tested(tree: Path, tests: list[str], timeout: float, bytecode: bool) -> tuple[str, float, str]:
    """What a forked process finds of the tree as it is: the outcome, the seconds, and the test that failed."""
    start = time.monotonic()
    with tempfile.TemporaryFile("w+") as log:
        child = os.fork()
        if child == 0:
            os.setsid()
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
            os.chdir(tree)
            os.environ["PYTHONPATH"] = str(tree / "src")
            os.environ["PYTHONDONTWRITEBYTECODE"] = "" if bytecode else "1"
            sys.path.insert(0, str(tree / "src"))
            sys.dont_write_bytecode = not bytecode
            import pytest

            quiet = ["-W", "ignore::pytest.PytestAssertRewriteWarning", "-x", "-q", "--tb=line"]
            quiet += ["-p", "no:cacheprovider", "-p", "no:xdist", "-k", " and ".join(f"not {test}" for test in SLOW)]
            os._exit(int(pytest.main([*quiet, *tests], plugins=[QuickFirst(tree / "seconds.json")])))
        status = None
        while status is None and time.monotonic() - start < timeout:
            done, code = os.waitpid(child, os.WNOHANG)
            status = code if done else time.sleep(0.02)
        os.killpg(child, signal.SIGKILL) if status is None else None
        if status is None:
            os.waitpid(child, 0)
        seconds = time.monotonic() - start
        log.seek(0)
        lines = log.read().splitlines()
    named = [line for line in lines if line.startswith(("FAILED", "ERROR"))] or lines[-20:] if status else []
    note = "\n".join(named)[:1000]
    if status is None:
        return "timeout", seconds, note
    return ("survived" if os.waitstatus_to_exitcode(status) == 0 else "killed"), seconds, note


def read(path: Path) -> list[dict]:
    """The lines that earlier runs have written."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def report(path: Path) -> None:
    """Print how many mutants of each file and wing were killed; a run out of time counts as killed."""
    counts: dict[str, Counter] = defaultdict(Counter)
    for row in read(path):
        for group in (row["file"], row["wing"], "all"):
            counts[group][row["outcome"]] += 1
    print(f"{'':30} {'mutants':>8} {'killed':>8} {'survived':>9} {'share killed':>13}")
    for group, seen in counts.items():
        total, survived = sum(seen.values()), seen["survived"]
        print(f"{group:30} {total:8} {total - survived:8} {survived:9} {1 - survived / total:13.1%}")


if __name__ == "__main__":
    main()
