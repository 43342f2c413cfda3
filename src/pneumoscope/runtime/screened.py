"""What passes through screening: a study that the gate let in, and what was found of it."""

from __future__ import annotations

from dataclasses import dataclass

from pneumoscope.core.image import Image2D, Modality, Volume
from pneumoscope.core.result import Explanation, Prediction
from pneumoscope.core.study import Study
from pneumoscope.core.voxels import Voxels


@dataclass(frozen=True, kw_only=True, eq=False)
class Shown:
    """A slice that matters, and where the network looked in it. number: of the slice, from the feet."""

    number: int
    image: Image2D
    explanation: Explanation


@dataclass(frozen=True, kw_only=True, eq=False)
class Screened:
    """A prediction with the image it is about and where the network looked; both None where refused or not asked.

    modality: what the file says that it is; None where it does not say, or was refused. Of a series: volume, in the
    place of the image, and shown: its slices that matter, the first one first; or, where volumes are judged as a whole,
    prepared: what the network saw of it, and an explanation whose map is `[Z, Y, X]`.
    """

    prediction: Prediction
    modality: Modality | None = None
    image: Image2D | None = None
    explanation: Explanation | None = None
    volume: Volume | None = None
    shown: tuple[Shown, ...] = ()
    prepared: Voxels | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Ready:
    """A study that passed the gate, to be judged slice by slice."""

    prediction: Prediction
    study: Study


@dataclass(frozen=True, kw_only=True, eq=False)
class ReadyImage(Ready):
    """A single image that passed the gate, prepared, to be judged as one."""

    prepared: Image2D
