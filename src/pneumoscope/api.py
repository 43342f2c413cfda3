"""The only door that the apps use: one function for each thing a user can ask for.

torch is imported inside the functions that train or need gradients; screening runs without it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pneumoscope import bundle as bundles
from pneumoscope.core.files import new_folder, unfinished, write_bytes, write_json, write_text
from pneumoscope.core.progress import Progress, silent
from pneumoscope.core.resolve import resolve_all
from pneumoscope.core.result import Evaluation, Explanation, Gallery, Picture, Prediction
from pneumoscope.errors import InputError, UsageError
from pneumoscope.evaluate.thresholds import read_rules
from pneumoscope.evaluating import card as card
from pneumoscope.evaluating import checklist as checklist
from pneumoscope.evaluating import evaluate as evaluate
from pneumoscope.recipes import find
from pneumoscope.running import needs_training_extra, run_one, write_report

if TYPE_CHECKING:
    from pneumoscope.bundle import Bundle
    from pneumoscope.core.image import Image2D
    from pneumoscope.core.stage import Step
    from pneumoscope.core.study import Study
    from pneumoscope.runtime.engine import PrecisionName
    from pneumoscope.runtime.screened import Screened


def load_study(path: str | Path, *, series_uid: str | None = None) -> Study:
    """The one study at a path: a file, a folder or a zip.

    Raises:
        InputError: nothing readable there, or several studies.
    """
    from pneumoscope.io import load

    return load.load_study(Path(path), series_uid=series_uid)


def predict(
    bundle: str,
    paths: Sequence[str | Path],
    *,
    out: Path | None = None,
    explain: bool = False,
    series_uid: str | None = None,
    precision: PrecisionName = "fp32",
    prevalence: Mapping[str, float] | None = None,
    progress: Progress = silent,
    say: Callable[[str], None] = lambda text: None,
) -> list[Prediction]:
    """Screen every study under the paths; one bad path never stops the others.

    out: a new folder for predictions.json and report.html; with `explain` also an overlay and a map of every image,
        and of every slice that matters (numbered from 1 at the feet).
    prevalence: class -> share of it among the patients screened, for some classes; see `runtime.deciding`.
    say: told of each file in a folder or archive that is no image and was passed over.

    Raises:
        BundleError, IntegrityError: a bundle that cannot be used.
        UsageError: an `out` in use, no paths, a precision that this CPU lacks, or a prevalence that does not fit.
    """
    from pneumoscope.runtime.screen import Screener

    if not paths:
        raise UsageError("PATH: expected at least one file, folder or zip, found none.")
    screener = Screener(bundles.load(bundle), precision=precision, say=say, prevalence=prevalence)
    results = screener.screen([Path(p) for p in paths], series_uid=series_uid, maps=out is not None)
    if out is None:
        return [r.prediction for r in _counted(results, progress)]
    with new_folder(out) as folder:
        return _write_predictions(_counted(results, progress), screener.bundle, folder, out, explain=explain)


def _counted(results: Iterable[Screened], progress: Progress) -> Iterable[Screened]:
    for i, result in enumerate(results):
        progress("screening", i + 1, 0)
        yield result


def _write_predictions(
    results: Iterable[Screened],
    bundle: Bundle,
    folder: Path,
    out: Path,
    *,
    explain: bool,
    galleries: Sequence[Gallery] = (),
) -> list[Prediction]:
    from pneumoscope.report import html

    predictions: list[Prediction] = []

    def written() -> Iterable[Screened]:
        for i, result in enumerate(results):
            outputs = _write_maps(result, i, folder, out, bundle.facts.recipe.prep) if explain else {}
            outputs = {**result.prediction.outputs, **outputs}
            predictions.append(dataclasses.replace(result.prediction, outputs=outputs))
            yield dataclasses.replace(result, prediction=predictions[-1])

    write_text(folder / "report.html", html.screening_report(written(), bundle.facts, galleries=galleries))
    write_json(folder / "predictions.json", predictions)
    return predictions


def _write_maps(result: Screened, number: int, folder: Path, out: Path, prep: Sequence[Step]) -> dict[str, str]:
    """The overlay for people and the map in the source's pixels (16-bit PNG), named by number, not by patient.

    Of a volume that is judged as a whole: the map in its voxels (NIfTI), planes, a view in space, and each step.
    """
    from pneumoscope.report import volume

    found = {f"{kind}.png": data for kind, data in _maps_of(result).items()} | volume.files(result, prep)
    written = {}
    for file, data in found.items():
        name = f"maps/{number:04d}-{file.replace('/', '-')}"
        write_bytes(folder / name, data)
        written[file.partition(".")[0]] = str(out / name)
    return written


def _maps_of(result: Screened) -> dict[str, bytes]:
    """Kind -> PNG: of an image `overlay` and `map`, of each slice that matters `slice-0013/overlay` and so on."""
    from pneumoscope.report import figures

    shown = [(f"slice-{s.number + 1:04d}/", s.image, s.explanation) for s in result.shown]
    if result.image is not None and result.explanation is not None:
        shown.append(("", result.image, result.explanation))
    found = {}
    for of, image, explanation in shown:
        found[f"{of}overlay"] = figures.overlay_png(image, explanation)
        found[f"{of}map"] = figures.map_png(explanation)
    return found


def explain(
    bundle: str,
    path: str | Path,
    *,
    out: Path,
    layer: str | None = None,
    target: str | None = None,
    features: bool = False,
    series_uid: str | None = None,
) -> Prediction:
    """Where the network looked in one image, or in the slices of one study that matter: report.html, overlays, maps.

    layer: None for the one that the graph explains without torch; any other needs the extra [train].
    target: the class asked about; None for the one decided for.
    features: also what `layer` answers, or else an early, a middle and the last layer: features/<layer>.png, the
        brightest channels in a grid. Needs the extra [train].

    Raises:
        InputError: an image that cannot be read or that the gate refuses.
        UsageError: an unknown layer or class, or an `out` in use.
        MissingError: another layer than the graph's, or features, without torch.
    """
    from pneumoscope.io import load
    from pneumoscope.runtime.screen import Screener

    if features:
        needs_training_extra("showing feature maps")
    screener = Screener(bundles.load(bundle))
    if features and screener.recipe.of_volumes:
        raise UsageError("--features: expected a network of images, found one of volumes. Leave it out.")
    names = screener.recipe.classes.names
    if target is not None and target not in names:
        raise UsageError(f"--target: expected one of {', '.join(names)}, found '{target}'.")
    load.only(load.discover(Path(path), series_uid=series_uid), Path(path))  # several studies are an error here
    (result,) = screener.screen([Path(path)], series_uid=series_uid, target=target)
    if not result.prediction.accepted:
        raise InputError("; ".join(result.prediction.reasons))
    if layer is not None and layer != screener.bundle.facts.explains:
        result = _at_layer(screener.bundle, result, layer)
    inside = _inside(screener.bundle, result, layer) if features else {}
    with new_folder(out) as folder:
        result, galleries = _write_features(inside, result, folder, out)
        return _write_predictions([result], screener.bundle, folder, out, explain=True, galleries=galleries)[0]


def _at_layer(bundle: Bundle, result: Screened, layer: str) -> Screened:
    """The same with maps of another layer, in the image or in each slice that matters."""
    if result.prepared is not None:
        last = bundle.facts.explains
        raise UsageError(f"--layer: expected '{last}', the last one, for a network of volumes, found '{layer}'.")
    needs_training_extra("explaining an inner layer")
    if result.image is not None and result.explanation is not None:
        (explanation,) = _layer_maps(bundle, [result.image], layer, result.explanation.target)
        return dataclasses.replace(result, explanation=explanation)
    if not result.shown:
        return result
    images, target = [s.image for s in result.shown], result.shown[0].explanation.target
    maps = zip(result.shown, _layer_maps(bundle, images, layer, target), strict=True)
    return dataclasses.replace(result, shown=tuple(dataclasses.replace(s, explanation=e) for s, e in maps))


def _layer_maps(bundle: Bundle, images: Sequence[Image2D], layer: str, target: str) -> list[Explanation]:
    import numpy as np

    from pneumoscope.explain.rebuild import layer_cams
    from pneumoscope.prep import pipeline
    from pneumoscope.runtime import answering

    prepared = [pipeline.run(image, bundle.facts.recipe.prep) for image in images]
    cams = layer_cams(bundle, np.stack([p.pixels for p in prepared]), layer=layer, target=target)
    return [answering.explain(cam, p, layer=layer, target=target) for cam, p in zip(cams, prepared, strict=True)]


def _inside(bundle: Bundle, result: Screened, layer: str | None) -> dict[str, Picture]:
    """Layer -> the grid of what it answers, to the image or to the slice that matters most."""
    from pneumoscope.explain.rebuild import layer_maps
    from pneumoscope.nets import maps
    from pneumoscope.prep import pipeline

    image = result.shown[0].image if result.shown else result.image
    if image is None:
        return {}
    prepared = pipeline.run(image, bundle.facts.recipe.prep)
    found = layer_maps(bundle, prepared.pixels, layer=layer)
    return {name: maps.picture(name, values) for name, values in found.items()}


def _write_features(
    inside: Mapping[str, Picture], result: Screened, folder: Path, out: Path
) -> tuple[Screened, tuple[Gallery, ...]]:
    """Write each layer's grid; the result that names the files, and the gallery for the report."""
    if not inside:
        return result, ()
    from pneumoscope.nets.maps import LIGHT
    from pneumoscope.report import figures

    outputs = {}
    for layer, picture in inside.items():
        write_bytes(folder / f"features/{layer}.png", figures.picture_png(picture))
        outputs[f"features/{layer}"] = str(out / f"features/{layer}.png")
    prediction = dataclasses.replace(result.prediction, outputs=outputs)
    gallery = Gallery(title="Inside the network", note=LIGHT, pictures=tuple(inside.values()), large=True)
    return dataclasses.replace(result, prediction=prediction), (gallery,)


def train(
    recipe: str,
    data: Sequence[str | Path],
    *,
    out: Path,
    protocol: str = "honest",
    mapping: Mapping[str, str] | None = None,
    overrides: Mapping[str, str] | None = None,
    weights_dir: Path | None = None,
    ungrouped: bool = False,
    at: Sequence[str] = (),
    progress: Progress = silent,
    say: Callable[[str], None] = lambda text: None,
) -> list[Evaluation]:
    """Train, evaluate and export a recipe; a call that was stopped is resumed by the same call.

    data: folders with labels.csv, each for the role "main" or, as "ROLE=FOLDER", for another of the recipe's.
    protocol: "honest", "paper", or "both", which makes a run of each under `out` and one report of the two.
    at: thresholds to study, too (see `evaluate.thresholds.read_rules`); a finished run is not trained again for them.
    say: told each warning as it is found.

    Raises:
        UsageError, RecipeError: names, overrides or an `out` that do not fit.
        DataError, LeakError: data that cannot be used or parted.
        MissingError: the extra [train], or pretrained weights, are not here.
    """
    found, variant = find(recipe)
    wanted = ("honest", "paper") if protocol == "both" else (protocol,)
    resolved = resolve_all(found, variant=variant, protocols=wanted, overrides=overrides)
    rules = read_rules(at, resolved[0].classes, fitted=True)
    needs_training_extra("training")
    ours = {"honest", "paper", "cache", "report.html"}
    if len(resolved) > 1 and out.is_dir() and {p.name for p in out.iterdir() if not unfinished(p)} - ours:
        raise UsageError(f"--out: expected a new or empty folder or a run to resume, found other files in '{out}'.")
    from pneumoscope import reading

    datasets, warnings = reading.read_roles(data, resolved[0], mapping=mapping or {}, ungrouped=ungrouped, say=say)
    evaluations, pictures = [], []
    for one in resolved:
        folder = out / one.protocol.name if len(resolved) > 1 else out
        # a bundle comes of the honest run: of both, the paper's way is there to be measured
        export = len(resolved) == 1 or one.protocol.name == "honest"
        ran = run_one(
            one, datasets, folder, weights_dir, progress, warnings, prepared=out / "cache", export=export, at=rules
        )
        evaluations.append(ran.evaluation)
        pictures.append(ran.galleries)
    if len(resolved) > 1:
        together = dataclasses.replace(resolved[0], protocols=tuple(r.protocol for r in resolved))
        write_report(out, evaluations, together, pictures, datasets)
    return evaluations


def verify(bundle: str) -> float:
    """Check every hash of a bundle and run the check it carries; returns the check's largest difference.

    Raises:
        IntegrityError: bytes that changed, or another answer.
    """
    from pneumoscope.runtime.check import run_check

    loaded = bundles.load(bundle)
    loaded.verify()
    return run_check(loaded)


def list_weights(weights_dir: Path | None = None) -> list[dict[str, str]]:
    """The networks that can start from pretrained weights: name, file wanted, file found or "", origin."""
    needs_training_extra("listing weights")
    from pneumoscope.nets import weights

    return [
        {
            "name": row.name,
            "wanted": f"{row.timm_name}.safetensors",
            "file": "" if row.file is None else str(row.file),
            "origin": row.origin,
        }
        for row in weights.list_weights(weights_dir)
    ]


def add_weights(name: str, file: Path) -> Path:
    """Check that a safetensors file fits the network `name` and put it where training finds it.

    Raises:
        UsageError: an unknown network, or a file that is not safetensors.
        IntegrityError: tensors of another network.
    """
    needs_training_extra("adding weights")
    from pneumoscope.nets import weights

    return weights.add_weights(name, file)
