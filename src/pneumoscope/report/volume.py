"""What a report shows of a series that was judged as one volume.

Where the network looked, in three planes and in space, and what the steps before it left of the scan: Xue 2021, Figs. 2
to 4. Slices are numbered from 1 at the feet, as people count; heights are in mm above the lowest slice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from pneumoscope.core.image import Volume
from pneumoscope.core.result import Explanation
from pneumoscope.core.stage import Step
from pneumoscope.core.voxels import Voxels
from pneumoscope.io.nifti_write import nifti_bytes
from pneumoscope.report import figures, planes, render, series, volume_steps
from pneumoscope.report.uri import data_uri
from pneumoscope.runtime.screened import Screened

WIDTH, HEIGHT = 720, 120  # of the curve of the lung's area


def view(screened: Screened, steps: Sequence[Step]) -> dict[str, Any] | None:
    """What the template shows of a volume that was judged as a whole, None where there is none.

    steps: those of the method that prepared it.
    """
    volume, prepared, explanation = screened.volume, screened.prepared, screened.explanation
    if volume is None or prepared is None or explanation is None:
        return None
    found = bool(explanation.map.any())
    place = _place(volume, prepared, explanation)
    heat = on_prepared(explanation.map, prepared) if found else None
    glow = None if heat is None else heat * _inside(prepared)
    made = volume_steps.made(volume, steps, place[0])
    return {
        "target": explanation.target,
        "facts": [*series.facts(screened.prediction), *facts(volume, prepared)],
        "planes": [_plane(plane, volume, mapped=found) for plane in planes.planes(volume, explanation.map, place)],
        "lungs": None if heat is None else _in_lungs(heat, prepared),
        "rendered": [data_uri("image/jpeg", figures.encoded(".jpg", p)) for p in render.rendered(prepared, glow)],
        "steps": [
            {"uri": data_uri("image/jpeg", figures.picture_jpeg(picture)), "caption": picture.caption}
            for picture in made.pictures
        ],
        "slice": made.number + 1,
        "area": _area(made, prepared),
    }


def files(screened: Screened, steps: Sequence[Step]) -> dict[str, bytes]:
    """Name -> bytes of what is written beside a report of a volume that was judged as a whole; empty where none was.

    The map is NIfTI in the voxels of the scan, in 0..1 in steps of 1 / 255, to be laid over the scan by any viewer.
    """
    volume, prepared, explanation = screened.volume, screened.prepared, screened.explanation
    if volume is None or prepared is None or explanation is None:
        return {}
    place = _place(volume, prepared, explanation)
    found = explanation.map.any()
    glow = on_prepared(explanation.map, prepared) * _inside(prepared) if found else None
    levels = np.empty(explanation.map.shape, np.uint8)
    for values, out in zip(explanation.map, levels, strict=True):
        out[:] = np.rint(np.clip(values, 0, 1) * 255)
    return {
        "planes.png": planes.planes_png(volume, explanation.map, place),
        "rendered.png": render.render_png(prepared, glow),
        "steps.png": volume_steps.steps_png(volume_steps.made(volume, steps, place[0]).pictures),
        "map.nii.gz": nifti_bytes(levels, volume.geometry, slope=1 / 255),
    }


def shown_slice(volume: Volume, prepared: Voxels, explanation: Explanation) -> int:
    """The slice, from 0, that stands for the study where there is room for one."""
    return _place(volume, prepared, explanation)[0]


def _place(volume: Volume, prepared: Voxels, explanation: Explanation) -> planes.Place:
    """Where in the lungs the map is strongest; without one, the middle of what was judged.

    A map has few cells, and is strongest in a corner of the cube more often than not, where there is nothing to see.
    """
    if explanation.map.any():
        inside = on_prepared(explanation.map, prepared) * _inside(prepared)
        if not inside.any():
            return planes.strongest(explanation.map)
        z, y, x = (
            min(max(round(scale * at + offset), 0), size - 1)
            for at, (scale, offset), size in zip(
                planes.strongest(inside), prepared.to_source, volume.shape, strict=True
            )
        )
        return z, y, x
    first, last = selected(volume, prepared)
    return (first + last) // 2, volume.shape[1] // 2, volume.shape[2] // 2


def _inside(prepared: Voxels) -> np.ndarray:
    """Where the network saw anything: in the lungs, or, where none were cut out, in what is not black."""
    return np.asarray((prepared.values if prepared.mask is None else prepared.mask) > 0)


def on_prepared(values: np.ndarray, prepared: Voxels) -> np.ndarray:
    """A map over a scan, `[Z, Y, X]`, over the prepared voxels: of each the value of the voxel that it lies in."""
    nearest = [
        np.clip(np.rint(scale * np.arange(size) + offset), 0, source - 1).astype(np.intp)
        for (scale, offset), size, source in zip(prepared.to_source, prepared.values.shape, values.shape, strict=True)
    ]
    return np.asarray(values[np.ix_(*nearest)])


def selected(volume: Volume, prepared: Voxels) -> tuple[int, int]:
    """The first and the last slice of the scan, from 0, of which half or more was judged."""
    scale, offset = prepared.to_source[0]
    low, high = offset - scale / 2 - 1e-6, offset + scale * (len(prepared.values) - 0.5) + 1e-6
    first = min(max(math.ceil(low), 0), len(volume.voxels) - 1)
    return first, max(first, min(math.floor(high), len(volume.voxels) - 1))


def facts(volume: Volume, prepared: Voxels) -> list[tuple[str, str]]:
    """Name and text of what is to know of the prepared voxels."""
    (first, last), count = selected(volume, prepared), len(volume.voxels)
    depth, height, width = prepared.values.shape
    z, y, x = prepared.spacing_mm
    lung = next((step.args for step in prepared.steps if step.name == "lung"), None)
    litres = [("Lungs found", f'{lung["litres"]:.1f} litres, method "{lung["method"]}"')] if lung else []
    return [
        *litres,
        ("Slices selected", f"{first + 1} to {last + 1} of {count}, {depth * z:.0f} mm"),
        ("Judged", f"{width} x {height} x {depth} voxels of {x:.3g} x {y:.3g} x {z:.3g} mm"),
    ]


def _plane(plane: planes.Plane, volume: Volume, *, mapped: bool) -> dict[str, Any]:
    axis = ("axial", "coronal", "sagittal").index(plane.name)
    mm = plane.number * volume.geometry.spacing_mm[axis]
    where = (f"slice {plane.number + 1} of {len(volume.voxels)} · {mm:.0f} mm", f"{mm:.0f} mm from the front")
    return {
        "name": plane.name,
        "place": where[axis] if axis < 2 else f"{mm:.0f} mm from the right",
        "picture": data_uri("image/jpeg", figures.encoded(".jpg", planes.plain(plane))),
        "overlay": data_uri("image/jpeg", figures.encoded(".jpg", planes.overlaid(plane))) if mapped else None,
    }


def _in_lungs(heat: np.ndarray, prepared: Voxels) -> str | None:
    """How much of the map lies in the lungs, beside what a map without any preference would have there."""
    if prepared.mask is None or not prepared.mask.any() or not heat.any():
        return None
    inside = float(heat[prepared.mask > 0].sum(dtype=np.float64) / heat.sum(dtype=np.float64))
    share = float(np.count_nonzero(prepared.mask) / prepared.mask.size)
    return (
        f"{100 * inside:.0f} % of the map lies in the lungs as they were found, which fill {100 * share:.0f} % of what "
        "was judged."
    )


def _area(made: volume_steps.Made, prepared: Voxels) -> dict[str, Any] | None:
    """The lung's area along the body as an SVG point list, and what was selected; None where nothing was."""
    select = next((step.args for step in prepared.steps if step.name == "select"), None)
    if select is None or len(made.area) < 2:
        return None
    low, reach = made.mm_above[0], made.mm_above[-1] - made.mm_above[0]
    across = np.round(WIDTH * (made.mm_above - low) / reach, 1).tolist()
    left, right = across[select["first"]], across[select["first"] + select["slices"] - 1]
    return {
        "points": " ".join(f"{x:g},{HEIGHT * (1 - a):.1f}" for x, a in zip(across, made.area.tolist(), strict=True)),
        "share": select["share"],
        "y": round(HEIGHT * (1 - select["share"]), 1),
        "selected": {"x": left, "width": round(right - left, 1)},
        "width": WIDTH,
        "height": HEIGHT,
        "mm": f"{reach:.0f}",
    }
