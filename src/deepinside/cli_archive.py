"""The commands of an archive: `run`, and what is done with the folder of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

import typer

from deepinside import cli_options as groups
from deepinside import cli_text as text
from deepinside.cli_options import ARCHIVE, among, listed, options
from deepinside.cli_shell import Tally, ready_for, shown, tell, tell_glyphs
from deepinside.cli_streams import complain, say
from deepinside.core.errors import check_writable, check_writable_folder

if TYPE_CHECKING:
    from deepinside.data.boxes import Sample
    from deepinside.evaluation.results import Judged


@options
def run_archive(
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="INPUT",
            help="Photos, folders, 'patterns/**/*.jpg', .tar shards, tables with path and label (.csv, .tsv, .parquet, "
            ".jsonl) or lists (.txt).",
        ),
    ],
    network: groups.Network,
    engine: groups.Engine,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="The folder of the run; a run that is in it is continued.")
    ] = ARCHIVE,
    preset: groups.Preset = "best",
    constants: groups.Constants = None,
    objects: groups.Objects = "all",
    min_probability: Annotated[
        float, typer.Option(min=0, max=1, help="Of photos without labels, leave out classes that are less likely.")
    ] = 0.1,
    top: Annotated[
        int, typer.Option(min=0, help="Look for so many of the likeliest classes as well, with and without labels.")
    ] = 0,
    labels_from: Annotated[
        str | None,
        typer.Option(
            metavar="folders|annotations",
            help="Labels are the names of photos' folders, or the classes of data with boxes, as evaluate reads it.",
            show_default="tables and shards",
        ),
    ] = None,
    retry: Annotated[bool, typer.Option("--retry", help="Try photos again that have failed before.")] = False,
) -> None:
    """A whole archive into one folder: stop it at any moment, and the same command goes on where it was.

    The exit status is 1 where any of its photos, now or before, has failed.
    """
    from deepinside.archive.run import failures, running
    from deepinside.archive.wanted import wanted_of
    from deepinside.core.terminal import track
    from deepinside.explanations.explain import most_objects

    localizer, answers = groups.localizer_of(preset, constants), engine.answers()
    most_objects(objects)
    check_writable_folder(out)
    classifier, _ = ready_for(network, localizer)
    wanted = wanted_of(sources, classifier.labels, labels_from)
    tally, began = Tally(), perf_counter()
    with running(
        classifier,
        wanted,
        out,
        preset=localizer,
        objects=objects,
        min_probability=min_probability,
        top=top,
        retry=retry,
        engine=answers,
    ) as (begun, found):
        for answer in track(found, begun.left, "photos"):
            tally.told(answer)
    reasons = failures(out)
    say(text.run_text(begun, tally.failures, perf_counter() - began), *text.reasons_text(reasons))
    say(f"  -> {out}", *text.next_text(out))
    raise typer.Exit(1 if reasons else 0)


@options
def export(
    folder: groups.RunFolder,
    formats: Annotated[
        list[str],
        typer.Argument(metavar="FORMAT", help=f"{listed(groups.FORMATS)}.", autocompletion=among(groups.FORMATS)),
    ],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the folders of the formats go.", show_default="DIR")
    ] = None,
) -> None:
    """What a run has found so far, as labels for other tools: each format in a folder of its own, DIR/FORMAT.

    Once more after more photos, it adds them, and leaves files alone that somebody has changed since.
    """
    from deepinside.archive.run import export_run

    changed: list[str] = []
    count = export_run(folder, out or folder, formats, changed.append)
    say(f"{count} photos", *(f"  {line}" for line in changed))
    for name in dict.fromkeys(formats):
        tell((out or folder) / name)


@options
def report_archive(
    folder: groups.RunFolder,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The page to write.", show_default="DIR/report.html")
    ] = None,
) -> None:
    """A page to look through what a run has found: one HTML file for any browser, which fetches nothing."""
    from deepinside.archive.report import NAME, Report, report

    check_writable(out or folder / NAME)
    for event in shown(report(folder, out)):
        if isinstance(event, Report):
            say(text.page_text(event))
            tell(event.path)


@options
def review(
    folder: groups.RunFolder,
    first: Annotated[int, typer.Option("--first", min=1, help="How many are shown here.")] = 20,
) -> None:
    """The photos of a run that need a person most, and why; all of them, in this order, in DIR/review.csv."""
    from deepinside.archive.folder import about_run
    from deepinside.archive.review_list import waiting, write_list

    about_run(folder)
    photos = waiting(folder)
    say(*map(text.waiting_text, photos[:first]))
    tell(write_list(photos, folder / "review.csv"))


@options
def audit(
    folder: groups.RunFolder,
    boxes: Annotated[
        Path | None,
        typer.Option(
            metavar="ROOT",
            help="Ground-truth boxes of the photos, as `evaluate` reads them.",
            show_default="the run's own",
        ),
    ] = None,
) -> None:
    """Which classes are decided by something odd, such as a logo in a corner: a table, DIR/audit.png and audit.json."""
    from deepinside.archive.audit import audit as judge
    from deepinside.archive.audit_sheet import audit_sheet
    from deepinside.archive.audit_tables import audit_table, told, write_json
    from deepinside.archive.evidence import evidence_of
    from deepinside.core.terminal import print_table
    from deepinside.explanations import sheets

    found = judge(evidence_of(folder, boxes))
    if found:
        print_table(audit_table(found))
    say(*told(found))
    tell(write_json(found, folder / "audit.json"))
    if any(each.clusters for each in found):
        tell(sheets.save(audit_sheet(found), folder / "audit.png"))
        tell_glyphs(each.evidence.label for each in found)


COMMANDS = {"run": run_archive, "export": export, "report": report_archive, "review": review, "audit": audit}


def judged_of_run(folder: Path, samples: Sequence[Sample], root: Path) -> tuple[str, list[Judged]]:
    """The same of a run: nothing is computed anew."""
    from deepinside.archive.judged import judge_run, judgeable
    from deepinside.core.terminal import track

    asked = judgeable(folder, samples, root)
    if asked.moved:
        complain(f"{asked.moved} photos of the run are elsewhere now, and were found by their names below {root}")
    return asked.model, list(track(judge_run(asked), len(asked), "images"))
