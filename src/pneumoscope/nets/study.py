"""What is exported of a method of studies: a network that describes slices, and one that judges a study of them.

Source: Garg 2021, sections III-C2 and III-C3. Both answer with probabilities, so that a bundle's graphs need no code of
ours between the pixels and the answer.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pneumoscope.core.dataset import ClassSet
from pneumoscope.nets.build import Net, probabilities, score_seeds
from pneumoscope.nets.patient import weighted


class DescribingNet(nn.Module):
    """`ScreeningNet` for slices of a study, whose last hidden layer is an answer, too."""

    seeds: Tensor

    def __init__(self, net: Net) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("seeds", score_seeds(net.head.outputs, net.classes))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Probabilities `[N, K]`, Grad-CAM `[N, K, h, w]` and features `[N, F]` of grey 0..1 slices `[N, 1, H, W]`."""
        maps, earlier = self.net.maps(x)
        logits, cam, hidden = self.net.head.answer(maps, self.seeds, earlier)
        return probabilities(logits, self.net.classes), cam, hidden


class StudyNet(nn.Module):
    """The classifiers of a study, and the ensemble of their scores, None for the last classifier's own.

    members: with, for each, whether it takes the slices' features weighted by their probabilities.
    """

    def __init__(
        self, members: Sequence[tuple[nn.Module, bool]], ensemble: nn.Module | None, classes: ClassSet
    ) -> None:
        super().__init__()
        self.members = nn.ModuleList(net for net, _ in members)
        self.weighted = [by_probability for _, by_probability in members]
        self.ensemble = ensemble
        self.classes = classes

    def forward(self, features: Tensor, slices: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities of one study, `[K]`, and of each classifier, `[M, K]`.

        features: of its slices in their order along the body, `[S, F]`. slices: their probabilities, `[S, K]`.
        """
        known = {False: features, True: weighted(features, slices)}
        scores = torch.cat(
            [
                probabilities(net(known[by_probability].unsqueeze(0)), self.classes)
                for net, by_probability in zip(self.members, self.weighted, strict=True)
            ]
        )
        if self.ensemble is None:
            return scores[-1], scores
        return probabilities(self.ensemble(scores.reshape(1, -1)), self.classes)[0], scores
