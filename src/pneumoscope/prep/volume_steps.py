"""A recipe's steps on a CT volume, run in order and recorded, and the way back for a map over the result.

Source: Xue 2021, section 2.2. Resizes in a row are one, by the product of their matrices, and the first ones read the
volume's own integers: at no time is there a float copy of it in full size.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby, takewhile
from typing import Any

import numpy as np

from pneumoscope.core.image import AppliedStep, Volume
from pneumoscope.core.registry import Registry
from pneumoscope.core.stage import Step
from pneumoscope.core.voxels import Voxels
from pneumoscope.errors import InputError, RecipeError
from pneumoscope.prep.lung import paper_mask
from pneumoscope.prep.lung_ours import our_mask
from pneumoscope.prep.resample import Resize, linear, matrix, resample
from pneumoscope.prep.select import salient

Shape = tuple[int, int, int]
Resizes = tuple[Resize, Resize, Resize]  # of Z, Y and X
Along = tuple[list[Resize], ...]  # of each axis, those that follow each other
LOWEST_HU, HIGHEST_HU = -1024, 3071  # of twelve bits: what is below is no tissue but padding, what is above is metal
MOST_VOXELS = 2**28  # of a volume in floats, 1 GiB: one number must not ask for all the memory
MOST_TIMES = 10.0  # finer or coarser
# litres of lung: less has a chest without lungs, another part of the body, or another scale; more has nobody
LEAST_LITRES, MOST_LITRES = 0.5, 12.0


def prepare_volume(volume: Volume, steps: Sequence[Step]) -> Voxels:
    """The volume as the network takes it: float32 `[Z, Y, X]` in 0..1, with what was done recorded.

    steps: `grey` first; the others as they come.

    Raises:
        UsageError: a step that does not exist.
        RecipeError: arguments that a step does not take, or steps that do not begin with grey.
        InputError: a volume of one value, without lungs, or with too few slices of them.
    """
    if not steps or steps[0].name != "grey" or steps[0].args:
        found = f"{steps[0].name} {dict(steps[0].args)}" if steps else "none"
        raise RecipeError(f"prep: expected grey as the first step of a volume, without arguments, found {found}.")
    first = list(takewhile(_is_resize, steps[1:]))
    voxels = _read(volume, first)
    for resizes, run in groupby(steps[1 + len(first) :], key=_is_resize):
        if resizes:
            voxels = _resized(voxels, list(run))
        else:
            for step in run:
                voxels = _called(step, voxels)
    return voxels


def to_source_volume(values: np.ndarray, prepared: Voxels, shape: Shape) -> np.ndarray:
    """A map `[d, h, w]` over prepared voxels -> float32 `[Z, Y, X]` over the volume of `shape` that was read.

    Trilinear, the centres of the map's cells spread over the prepared voxels; 0 outside of what these show.
    """
    matrices = []
    for cells, size, (scale, offset), source in zip(
        values.shape, prepared.values.shape, prepared.to_source, shape, strict=True
    ):
        each = cells / size
        matrices.append(linear(cells, source, each / scale, (0.5 - offset / scale) * each - 0.5))
    return resample(values, matrices)


def _sizes(shape: Shape, *, in_plane: float, slices: float) -> Resizes:
    """Spacing times `in_plane`, and along Z times `slices`: as many samples as begin in the volume, as MATLAB has."""
    for name, factor in (("in_plane", in_plane), ("slices", slices)):
        if not 1 / MOST_TIMES <= factor <= MOST_TIMES:
            raise RecipeError(
                f"prep.resample.{name}: expected a factor of {1 / MOST_TIMES:g} to {MOST_TIMES:g}, found {factor}."
            )
    factors = (slices, in_plane, in_plane)
    z, y, x = (
        Resize(size=math.ceil(round(size / factor, 6)), scale=1 / factor)
        for size, factor in zip(shape, factors, strict=True)
    )
    return z, y, x


def _fitted(shape: Shape, *, size: int) -> Resizes:
    """Each slice stretched to `[size, size]`."""
    _, y, x = _cubed(shape, size=size, name="fit")
    return Resize(size=shape[0], scale=1), y, x


def _cubed(shape: Shape, *, size: int, name: str = "cube") -> Resizes:
    """The volume stretched to `[size, size, size]`."""
    if type(size) is not int or size < 1:
        raise RecipeError(f"prep.{name}.size: expected a whole number above 0, found {size!r}.")
    z, y, x = (Resize(size=size, scale=size / before) for before in shape)
    return z, y, x


def _lung(voxels: Voxels, *, method: str = "paper") -> Voxels:
    """The voxels with 0 outside the lungs, written over those given: a second block would be the most memory of all.

    method: "paper" as in `lung`, "ours" as in `lung_ours`.
    """
    if method not in ("paper", "ours"):
        raise RecipeError(f"prep.lung.method: expected 'paper' or 'ours', found {method!r}.")
    mask = paper_mask(voxels.values) if method == "paper" else our_mask(voxels.values, _hu(voxels), voxels.spacing_mm)
    litres = int(np.count_nonzero(mask)) * math.prod(voxels.spacing_mm) / 1e6
    if not LEAST_LITRES <= litres <= MOST_LITRES:
        other = "ours" if method == "paper" else "paper"
        raise InputError(
            f"lung: expected {LEAST_LITRES} to {MOST_LITRES:g} litres, found {litres:.2f}. Give a CT of the whole "
            f"chest, or try the other mask: --set prep.lung.method={other}."
        )
    step = AppliedStep(name="lung", args={"method": method, "litres": round(litres, 3)})
    np.multiply(voxels.values, mask, out=voxels.values)
    return voxels.after(step, mask=mask)


def _select(voxels: Voxels, *, share: float) -> Voxels:
    """The slices from the first to the last with at least `share` of the largest area of lung."""
    _check_share("select", share)
    if voxels.mask is None:
        raise RecipeError("prep.select: expected a mask of the lungs, found none. Put the step lung before it.")
    kept = salient(voxels.mask, share)
    step = AppliedStep(name="select", args={"share": share, "first": kept.start, "slices": kept.stop - kept.start})
    return _part(voxels, step, (kept, slice(None), slice(None)))


def _crop(voxels: Voxels, *, share: float) -> Voxels:
    """The middle of each slice, `share` of each side."""
    _check_share("crop", share)
    y, x = (_middle(side, share) for side in voxels.values.shape[1:])
    return _part(voxels, AppliedStep(name="crop", args={"share": share}), (slice(None), y, x))


# of the resizes, shape and arguments -> what becomes of each axis; of the others, voxels and arguments -> voxels
RESIZES: Mapping[str, Callable[..., Resizes]] = {"resample": _sizes, "fit": _fitted, "cube": _cubed}
STEPS: Registry[Callable[..., Any]] = Registry("prep step of a volume")
for _name, _resize in RESIZES.items():
    STEPS.add(_name, _resize)
STEPS.add("lung", _lung)
STEPS.add("select", _select)
STEPS.add("crop", _crop)


def _is_resize(step: Step) -> bool:
    return step.name in RESIZES


def _called(step: Step, given: Voxels | Shape) -> Any:
    function = STEPS.resolve(step.name)
    try:
        return function(given, **step.args)
    except TypeError as error:
        raise RecipeError(f"prep.{step.name}: expected its own arguments, found {dict(step.args)}. {error}") from error


def _check_share(name: str, share: float) -> None:
    if not 0 < share <= 1:
        raise RecipeError(f"prep.{name}.share: expected above 0, at most 1, found {share}.")


def _hu(voxels: Voxels) -> tuple[float, float]:
    """HU of 0 and of 1."""
    grey = voxels.steps[0].args
    return grey["low_hu"], grey["high_hu"]


def _read(volume: Volume, resizes: Sequence[Step]) -> Voxels:
    """Grey values in 0..1, resized: HU from the lowest to the highest of the volume, of those that twelve bits hold."""
    values = volume.voxels
    low, high = max(int(values.min()), LOWEST_HU), min(int(values.max()), HIGHEST_HU)
    if low >= high:
        raise InputError(f"volume: expected lighter and darker voxels, found all at {high} HU. Give a CT of the chest.")
    if values.min() < low or values.max() > high:
        values = np.clip(values, low, high)
    along, applied = _planned(_shape(values), resizes)
    floats = resample(values, [matrix(n, way) for n, way in zip(values.shape, along, strict=True)])
    floats -= np.float32(low)
    floats *= np.float32(1 / (high - low))
    z, y, x = volume.geometry.spacing_mm
    read = Voxels(values=np.clip(floats, 0, 1, out=floats), spacing_mm=(z, y, x))
    read = read.after(AppliedStep(name="grey", args={"low_hu": low, "high_hu": high}))
    return _placed(read, along, applied)


def _resized(voxels: Voxels, steps: Sequence[Step]) -> Voxels:
    """All resizes in one. A cubic swings beyond its points: what it gives is clipped."""
    along, applied = _planned(_shape(voxels.values), steps)
    values = resample(voxels.values, [matrix(n, way) for n, way in zip(voxels.values.shape, along, strict=True)])
    if values is not voxels.values:
        np.clip(values, 0, 1, out=values)
    mask = voxels.mask
    if mask is not None:
        backs = (_back(way) for way in along)
        nearest = [
            np.clip(np.rint(scale * np.arange(size) + offset), 0, before - 1).astype(np.intp)
            for (scale, offset), size, before in zip(backs, values.shape, mask.shape, strict=True)
        ]
        mask = mask[np.ix_(*nearest)]
    return _placed(dataclasses.replace(voxels, values=values, mask=mask), along, applied)


def _planned(shape: Shape, steps: Sequence[Step]) -> tuple[Along, list[AppliedStep]]:
    """What becomes of each axis, resize by resize, and the record of it."""
    ways, applied = [], []
    for step in steps:
        resizes: Resizes = _called(step, shape)
        shape = resizes[0].size, resizes[1].size, resizes[2].size
        if math.prod(shape) > MOST_VOXELS:
            raise RecipeError(
                f"prep.{step.name}: expected at most {MOST_VOXELS:,} voxels, found {' x '.join(map(str, shape))}."
            )
        ways.append(resizes)
        applied.append(AppliedStep(name=step.name, args={**step.args, "shape": list(shape)}))
    return tuple([way[axis] for way in ways] for axis in range(3)), applied


def _placed(voxels: Voxels, along: Along, applied: Sequence[AppliedStep]) -> Voxels:
    """Voxels after resizes, with where they lie now."""
    backs = [_back(way) for way in along]
    z, y, x = (mm * scale for mm, (scale, _) in zip(voxels.spacing_mm, backs, strict=True))
    before = voxels.to_source
    at = [(a * scale, a * offset + b) for (a, b), (scale, offset) in zip(before, backs, strict=True)]
    return dataclasses.replace(
        voxels, spacing_mm=(z, y, x), to_source=(at[0], at[1], at[2]), steps=(*voxels.steps, *applied)
    )


def _back(way: Sequence[Resize]) -> tuple[float, float]:
    """(scale, offset) from an index after all resizes to one before."""
    scale, offset = 1.0, 0.0
    for resize in way:
        by, start = resize.back
        scale, offset = scale * by, scale * start + offset
    return scale, offset


def _part(voxels: Voxels, step: AppliedStep, kept: tuple[slice, slice, slice]) -> Voxels:
    """A box of the voxels, copied, so that the rest can go."""
    at = [
        (scale, offset + scale * (part.start or 0))
        for (scale, offset), part in zip(voxels.to_source, kept, strict=True)
    ]
    mask = None if voxels.mask is None else voxels.mask[kept].copy()
    return voxels.after(step, values=voxels.values[kept].copy(), mask=mask, to_source=(at[0], at[1], at[2]))


def _middle(side: int, share: float) -> slice:
    size = max(1, round(share * side))
    return slice((side - size) // 2, (side - size) // 2 + size)


def _shape(values: np.ndarray) -> Shape:
    return values.shape[0], values.shape[1], values.shape[2]
