"""`pneumoscope compare`: several methods on the same folds, a thin skin over `comparing.compare`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Literal

import typer

from pneumoscope.app.console import pairs, progress, result, say, table


def compare(
    recipes: Annotated[
        list[str],
        typer.Argument(metavar="RECIPE[:VARIANT]...", help="See: pneumoscope recipes list. NAME:all: every variant."),
    ],
    data: Annotated[
        list[str], typer.Option("--data", metavar="[ROLE=]DIR", help="Folder with labels.csv; several times for more.")
    ],
    out: Annotated[Path, typer.Option("--out", help="New folder, or one of a comparison to go on with.")],
    vary: Annotated[
        list[str] | None,
        typer.Option("--vary", metavar="FIELD=A,B,...", help="Values to compare; several fields: every combination."),
    ] = None,
    protocol: Annotated[Literal["honest", "paper"], typer.Option(help="How the data is parted.")] = "honest",
    mapping: Annotated[
        list[str] | None, typer.Option("--map", metavar="LABEL=CLASS", help="The class a label stands for.")
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Another value for a field of the parts that have it."),
    ] = None,
    weights: Annotated[Path | None, typer.Option("--weights", help="Folder of <timm name>.safetensors files.")] = None,
    ungrouped: Annotated[
        bool, typer.Option("--ungrouped", help="The data names no patients; the report will say so.")
    ] = False,
    join_duplicates: Annotated[
        bool, typer.Option("--join-duplicates", help="Patients who share a picture count as one; else an error.")
    ] = False,
) -> None:
    """Compare methods, or values of a field, on the same folds; the same command resumes, more parts reuse the rest."""
    from pneumoscope import comparing
    from pneumoscope.core.vary import split_values

    with progress() as report:
        comparison = comparing.compare(
            recipes,
            data,
            out=out,
            vary={field: split_values(values) for field, values in pairs("--vary", vary).items()},
            protocol=protocol,
            mapping=pairs("--map", mapping),
            overrides=pairs("--set", overrides),
            weights_dir=weights,
            ungrouped=ungrouped,
            join_duplicates=join_duplicates,
            progress=report,
            say=say,
        )
    from pneumoscope.report.comparison import ranking_table, ranking_words

    how = f"{comparison.protocol} protocol, {comparison.n_images} images of {comparison.n_patients} patients"
    columns, rows = ranking_table(comparison)
    table(how, columns, rows)
    for sentence in ranking_words(comparison):
        result(sentence)
    for part in comparison.left_out:
        result(f"left out: {part.name}: {part.why}")
    for text in comparison.notes:
        say(f"note: {text}")
    for text in comparison.grave:
        say(f"warning: {text}")
    words = comparing.train_command(comparison, comparison.parts[0], data, out, weights)
    result(f"a bundle of the first (the report has the others' commands): {shlex.join(words)}")
    result(f"report: {(out / 'report.html').resolve()}")
