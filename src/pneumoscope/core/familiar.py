"""How far from what a model learned from a picture may be, before its answer is flagged."""

from __future__ import annotations

from dataclasses import dataclass

from pneumoscope.errors import BundleError


@dataclass(frozen=True, kw_only=True)
class Familiar:
    """The facts of a bundle's test of likeness; its numbers lie in a file of their own.

    features: how many the network has. directions: along which they are told apart. limit: the largest distance that
    is familiar. n_learned, n_held_out: images that the distance, and the limit, were fitted on.

    Raises:
        BundleError: sizes or a limit that no fit gives.
    """

    features: int
    directions: int
    limit: float
    n_learned: int
    n_held_out: int

    def __post_init__(self) -> None:
        if not 0 < self.directions <= self.features <= 2**20 or not 0 < self.limit < float("inf"):
            raise BundleError("familiar: expected directions among its features and a limit above 0, found others.")
