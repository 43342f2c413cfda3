"""One command with sub-commands, each a thin skin over one function of the api.

Results go to stdout, everything else to stderr. Exit codes: 0 done, 2 wrong usage, 3 unusable input, 4 failed
integrity, 5 a missing extra or weights; as shells have it, 130 stopped by Ctrl-C, 141 its reader gone. Nothing heavy
is imported before a command runs.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any, Literal, TextIO

import typer

from pneumoscope import __version__
from pneumoscope.app.answers import print_predictions
from pneumoscope.app.compare import compare
from pneumoscope.app.console import pairs, print_json, progress, read_shares, say, table
from pneumoscope.app.data import data_app
from pneumoscope.app.measured import print_evaluation, print_evaluations
from pneumoscope.app.tune import EXAMPLE, tune
from pneumoscope.errors import PneumoscopeError, UsageError

STOPPED = 130  # what a shell reports for Ctrl-C
READER_GONE = 141  # and for a tool that wrote to a pipe which nobody reads any more
UNUSABLE = PneumoscopeError.exit_code

app = typer.Typer(
    name="pneumoscope",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Reads chest X-rays and chest CT: how much an image looks like COVID-19, where the model looked, and how far "
    "to trust it. For research; not a medical device.\n\nExample: pneumoscope demo",
)
recipes_app = typer.Typer(no_args_is_help=True, help="The published methods, as data.")
bundle_app = typer.Typer(no_args_is_help=True, help="Trained methods: show, verify, model card.")
weights_app = typer.Typer(no_args_is_help=True, help="Pretrained weights: what is here, and adding a file.")
app.add_typer(recipes_app, name="recipes")
app.add_typer(data_app, name="data")
app.add_typer(bundle_app, name="bundle")
app.add_typer(weights_app, name="weights")
app.command(epilog="Example: pneumoscope compare szalay2021:all --data DIR --map normal=non-covid --out runs")(compare)
app.command(epilog=EXAMPLE)(tune)

AT = "A threshold to report on, too: 0.4; in training also youden, sensitivity=0.9 or cost=10."
PREVALENCE = "Share of a class among who is screened, as covid=0.05: probabilities are re-weighted for it."
LAYER = (
    "Another layer than the last, as net.layer2 or net.layer3 of a ResNet (stages 3 and 4 of Garg 2021); a wrong name "
    "lists the right ones. Needs the extra [train]."
)
Out = Annotated[Path, typer.Option("--out", help="New folder for what is written.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Data = Annotated[list[str], typer.Option("--data", help="Folder with labels.csv; may be given several times.")]
Map = Annotated[list[str] | None, typer.Option("--map", metavar="LABEL=CLASS", help="The class a label stands for.")]
Weights = Annotated[Path | None, typer.Option("--weights", help="Folder of <timm name>.safetensors files.")]
At = Annotated[list[str] | None, typer.Option("--at", metavar="RULE", help=AT)]
Prevalence = Annotated[list[str] | None, typer.Option("--prevalence", metavar="CLASS=P", help=PREVALENCE)]
Ungrouped = Annotated[bool, typer.Option("--ungrouped", help="The data names no patients; the report will say so.")]
BundleName = Annotated[str, typer.Argument(metavar="BUNDLE", help="A folder, a zip, or a built-in name (phantom).")]
Series = Annotated[str | None, typer.Option("--series", metavar="UID", help="SeriesInstanceUID; no other is taken.")]


def main() -> None:
    """Run the command line; errors of ours, and those of the system, become one line and their exit code."""
    try:
        code = _run()
        print(end="", flush=True)  # what cannot be written is said here, not while Python shuts down
    except BrokenPipeError:
        code = READER_GONE
        _drop(sys.stdout)
        _drop(sys.stderr)
    except OSError as error:
        _drop(sys.stdout)
        say(f"error: system: expected to read and write what was asked for, found '{error}'.")
        code = UNUSABLE
    sys.exit(code)


def _run() -> int:
    """The exit code of the command that was asked for."""
    try:
        app()
    except PneumoscopeError as error:
        for line in (str(error), *getattr(error, "__notes__", ())):
            say(f"error: {line}")
        return error.exit_code
    except SystemExit as stop:  # typer ends every command so, one that Ctrl-C or a closed pipe stopped too
        if isinstance(stop.__context__, BrokenPipeError):
            raise stop.__context__ from None
        if stop.code == STOPPED:
            say("stopped; what was stopped goes on with the same command")
        return int(stop.code or 0)
    return 0


def _drop(stream: TextIO) -> None:
    """Send what a stream still holds nowhere, so that Python does not fail on it once more as it shuts down."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"pneumoscope {__version__}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    """Options of the command itself."""


@app.command(epilog="Example: pneumoscope demo --out demo")
def demo(
    train: Annotated[bool, typer.Option("--train", help="Make, train and evaluate first (needs the extra).")] = False,
    out: Annotated[Path, typer.Option("--out", help="New folder.")] = Path("pneumoscope-demo"),
) -> None:
    """Screen built-in synthetic patients and write an HTML report."""
    from pneumoscope import demo as demos

    with progress() as report:
        if train:
            predictions = demos.with_training(out, progress=report, say=say)
        else:
            predictions = demos.screening(out, progress=report)
    print_predictions(predictions)
    print(f"report: {(out / 'screening' / 'report.html').resolve()}")


@app.command(epilog="Example: pneumoscope predict phantom chest.png --out result --explain")
def predict(
    bundle: BundleName,
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Images, DICOM, NIfTI, folders or zips.")],
    out: Annotated[Path | None, typer.Option("--out", help="New folder for report.html and predictions.json.")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Also write each overlay and map as PNG.")] = False,
    series: Series = None,
    precision: Annotated[Literal["fp32", "bf16"], typer.Option(help="As the bundle was validated in.")] = "fp32",
    prevalence: Prevalence = None,
    as_json: AsJson = False,
) -> None:
    """Screen images and CT studies: how much each looks like each class, and where the model looked."""
    from pneumoscope import api

    with progress() as report:
        predictions = api.predict(
            bundle,
            paths,
            out=out,
            explain=explain,
            series_uid=series,
            precision=precision,
            prevalence=read_shares(pairs("--prevalence", prevalence)),
            progress=report,
            say=say,
        )
    if as_json:
        print_json(predictions)
    else:
        print_predictions(predictions)
        if out is not None:
            print(f"report: {(out / 'report.html').resolve()}")
    if not any(p.accepted for p in predictions):
        sys.exit(3)


@app.command(epilog="Example: pneumoscope explain phantom chest.png --out where --target covid")
def explain(
    bundle: BundleName,
    path: Annotated[str, typer.Argument(metavar="PATH", help="An image, or a CT study: a folder, a zip or NIfTI.")],
    out: Out,
    layer: Annotated[str | None, typer.Option(help=LAYER)] = None,
    target: Annotated[str | None, typer.Option(metavar="CLASS", help="The class asked about.")] = None,
    features: Annotated[
        bool, typer.Option("--features", help="Also feature maps, of --layer or three; needs the extra [train].")
    ] = False,
    series: Series = None,
) -> None:
    """Show where the network looked in one image, or in the slices that matter of one CT study."""
    from pneumoscope import api

    prediction = api.explain(bundle, path, out=out, layer=layer, target=target, features=features, series_uid=series)
    print_predictions([prediction])
    print(f"report: {(out / 'report.html').resolve()}")


@app.command(epilog="Example: pneumoscope train szalay2021:vgg16 --data DIR --map normal=non-covid --out run")
def train(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE[:VARIANT]", help="See: pneumoscope recipes list")],
    data: Data,
    out: Out,
    protocol: Annotated[Literal["honest", "paper", "both"], typer.Option(help="How the data is parted.")] = "honest",
    mapping: Map = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Another value for a recipe's field.")
    ] = None,
    weights: Weights = None,
    ungrouped: Ungrouped = False,
    at: At = None,
) -> None:
    """Train, evaluate and export a method; the same command resumes one that was stopped."""
    from pneumoscope import api

    with progress() as report:
        evaluations = api.train(
            recipe,
            data,
            out=out,
            protocol=protocol,
            mapping=pairs("--map", mapping),
            overrides=pairs("--set", overrides),
            weights_dir=weights,
            ungrouped=ungrouped,
            at=at or (),
            progress=report,
            say=say,
        )
    print_evaluations(evaluations)
    print(f"report: {(out / 'report.html').resolve()}")


@app.command(epilog="Example: pneumoscope evaluate run/bundle --data OTHER --out result")
def evaluate(
    bundle: BundleName, data: Data, out: Out, mapping: Map = None, ungrouped: Ungrouped = False, at: At = None
) -> None:
    """Measure a bundle on labelled images that it has not seen."""
    from pneumoscope import api

    with progress() as report:
        known = pairs("--map", mapping)
        evaluation = api.evaluate(
            bundle, data, out=out, mapping=known, ungrouped=ungrouped, at=at or (), progress=report, say=say
        )
    print_evaluation(evaluation)
    print(f"report: {(out / 'report.html').resolve()}")


@recipes_app.command("list", epilog="Example: pneumoscope recipes list --json")
def recipes_list(as_json: AsJson = False) -> None:
    """The methods that can be trained, with their variants."""
    from pneumoscope.recipes import recipes

    found = [recipes().resolve(name) for name in recipes()]
    if as_json:
        rows = [{"name": r.name, "modalities": r.modalities, "variants": list(r.variants)} for r in found]
        print_json(rows)
        return
    columns = ("recipe", "paper", "modalities", "variants")
    table(
        "",
        columns,
        [
            [
                r.name,
                f"{r.paper.authors} ({r.paper.year}). {r.paper.title}.",
                ", ".join(r.modalities),
                ", ".join(r.variants),
            ]
            for r in found
        ],
    )


@recipes_app.command("show", epilog="Example: pneumoscope recipes show szalay2021:xception")
def recipes_show(name: Annotated[str, typer.Argument(metavar="RECIPE[:VARIANT]")], as_json: AsJson = False) -> None:
    """Every number of a method and where the paper says so."""
    from pneumoscope.core.recipe import method_leaves, source_of
    from pneumoscope.core.resolve import with_variant
    from pneumoscope.recipes import find

    recipe, variant = find(name)
    recipe = with_variant(recipe, variant)
    if as_json:
        print_json(recipe)
        return
    rows = [[path, _value(value), source_of(recipe, path) or ""] for path, value in method_leaves(recipe)]
    table(f"{recipe.title}: {recipe.paper.title}", ("field", "value", "where the paper says so"), rows)
    for deviation in recipe.deviations:
        print(f"- {deviation}")


@bundle_app.command("show", epilog="Example: pneumoscope bundle show phantom")
def bundle_show(bundle: BundleName, as_json: AsJson = False) -> None:
    """What a bundle is and how it was measured."""
    from pneumoscope import bundle as bundles
    from pneumoscope.report import calibration, words

    facts = bundles.load(bundle).facts
    if as_json:
        print_json(facts)
        return
    rows = [
        ["id", facts.id],
        ["method", facts.recipe.title],
        ["classes", ", ".join(facts.recipe.classes.names)],
        ["threshold", "most probable class" if facts.threshold is None else f"{facts.threshold:.3f}"],
        *([] if facts.trust is None else [["calibration", calibration.calibrator(facts.trust.calibrator)]]),
        ["validated in", ", ".join(name for name, p in facts.precisions.items() if p.validated)],
        ["trained on", words.trained_on(facts).removesuffix(".")],
        ["licence", facts.licence],
        *[["limit", limit] for limit in facts.limits],
    ]
    table(facts.name, ("fact", "value"), rows)
    if facts.evaluation is not None:
        print_evaluation(facts.evaluation)


@bundle_app.command("verify", epilog="Example: pneumoscope bundle verify run/bundle")
def bundle_verify(bundle: BundleName) -> None:
    """Check every hash, and run the check that the bundle carries."""
    from pneumoscope import api

    difference = api.verify(bundle)
    print(f"{bundle}: every file is as it was made; its check answers within {difference:.1e}")


@bundle_app.command("card", epilog="Example: pneumoscope bundle card phantom --checklist > checklist.md")
def bundle_card(
    bundle: BundleName,
    checklist: Annotated[
        bool, typer.Option("--checklist", help="CLAIM 2024 and TRIPOD+AI instead, filled from the run.")
    ] = False,
    external: Annotated[
        Path | None, typer.Option(metavar="DIR", help="For --checklist: what evaluate wrote, on other data.")
    ] = None,
) -> None:
    """The model card, as Markdown; or reporting checklists, as far as the run can fill them."""
    from pneumoscope import api

    if external is not None and not checklist:
        raise UsageError("--external: expected --checklist beside it, found none. Add it, or leave --external out.")
    print(api.checklist(bundle, external=external) if checklist else api.card(bundle), end="")


@weights_app.command("list", epilog="Example: pneumoscope weights list --weights DIR")
def weights_list(weights: Weights = None, as_json: AsJson = False) -> None:
    """The networks that can start from pretrained weights, and which weights are here."""
    from pneumoscope import api

    rows = api.list_weights(weights)
    if as_json:
        print_json([{**row, "file": row["file"] or None} for row in rows])
        return
    table(
        "", ("name", "file wanted", "found", "origin"), [[r["name"], r["wanted"], r["file"], r["origin"]] for r in rows]
    )


@weights_app.command("add", epilog="Example: pneumoscope weights add vgg16 vgg16.safetensors")
def weights_add(
    name: Annotated[str, typer.Argument(metavar="NAME")], file: Annotated[Path, typer.Argument(metavar="FILE")]
) -> None:
    """Check a safetensors file and put it where training finds it."""
    from pneumoscope import api

    print(f"added: {api.add_weights(name, file)}")


@app.command(epilog="Example: pneumoscope doctor --json")
def doctor(as_json: AsJson = False) -> None:
    """What is installed, and whether the built-in bundles answer here as they did where they were made."""
    from pneumoscope import doctor as doctors

    findings = doctors.examine()
    if as_json:
        print_json(findings)
    else:
        table("", ("what", "found", "fine"), [[f.what, f.found, "yes" if f.fine else "NO"] for f in findings])
    if not all(f.fine for f in findings):
        sys.exit(4)


def _value(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


if __name__ == "__main__":
    main()
