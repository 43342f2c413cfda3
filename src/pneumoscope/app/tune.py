"""`pneumoscope tune`: a thin skin over `tuning.tune`, as the commands in cli.py are over `api`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from pneumoscope.app.console import pairs, progress, result, say, table

EXAMPLE = (
    "Example: pneumoscope tune szalay2021 --data DIR --out search --trials 20 --search stages.head.batch=16,32 "
    "--search stages.head.optim.lr=1e-5..1e-2:log"
)


def tune(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE[:VARIANT]", help="See: pneumoscope recipes list")],
    data: Annotated[list[str], typer.Option("--data", help="Folder with labels.csv; may be given several times.")],
    out: Annotated[Path, typer.Option("--out", help="New folder, or one of a search to go on with.")],
    search: Annotated[
        list[str] | None,
        typer.Option("--search", metavar="FIELD=SPACE", help="A,B,C or LOW..HIGH[:log]; none: the recipe's own."),
    ] = None,
    trials: Annotated[int, typer.Option(help="Trials to finish, over all processes that share the search.")] = 20,
    storage: Annotated[
        str | None,
        typer.Option("--storage", metavar="URL_OR_FILE", help="A database or a journal file; else one in --out."),
    ] = None,
    mapping: Annotated[
        list[str] | None, typer.Option("--map", metavar="LABEL=CLASS", help="The class a label stands for.")
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="What the search starts from.")
    ] = None,
    weights: Annotated[Path | None, typer.Option("--weights", help="Folder of <timm name>.safetensors files.")] = None,
    ungrouped: Annotated[
        bool, typer.Option("--ungrouped", help="The data names no patients; the report will say so.")
    ] = False,
    join_duplicates: Annotated[
        bool, typer.Option("--join-duplicates", help="Patients who share a picture count as one; else an error.")
    ] = False,
) -> None:
    """Search a method's settings on a training part, and measure the winner once on a part that no trial saw."""
    from pneumoscope import tuning

    with progress() as report:
        done = tuning.tune(
            recipe,
            data,
            out=out,
            search=pairs("--search", search),
            trials=trials,
            storage=storage,
            mapping=pairs("--map", mapping),
            overrides=pairs("--set", overrides),
            weights_dir=weights,
            ungrouped=ungrouped,
            join_duplicates=join_duplicates,
            progress=report,
            say=say,
        )
    if done is not None:
        _print(done)
        result(f"train the winner: {shlex.join(tuning.train_command(done, data, out, weights))}")
        result(f"winner: {(out / tuning.WINNER).resolve()}")
        result(f"report: {(out / 'report.html').resolve()}")


def _print(done: Any) -> None:
    """What won, and what it is worth."""
    from pneumoscope.core.space import shown
    from pneumoscope.report.search import difference_words, set_words, start_title
    from pneumoscope.report.words import interval

    start = start_title(done).lower()
    best = done.tried.best
    rows = [
        [
            path,
            shown(value),
            shown(done.as_written_settings[path]) if path in done.as_written_settings else "",
        ]
        for path, value in done.settings.items()
    ]
    title = f"trial {best.number} won of {len(done.tried.finished)}: balanced accuracy {best.value:.3f} on inner folds"
    table(title, ("field", "winner", start), rows)
    cells = [interval(e.metrics["balanced_accuracy"]) for e in (done.winner, done.as_written)]
    table("on the hold-out that no trial saw", ("", "winner", start), [["balanced accuracy", *cells]])
    if not done.same:
        result(difference_words(done))
    if set_words(done):
        result(f"set for the whole search: {set_words(done)}")
    for warning in done.winner.warnings:
        say(f"note: {warning}")
