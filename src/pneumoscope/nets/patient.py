"""From slices to a patient: two classifiers over any number of slices, and the ensemble of their scores.

Source: Garg 2021, sections III-C2 and III-C3. What follows the slices' pooling is an `MlpHead`, so that a recipe's
head (hidden units, activation, dropout) means here what it means behind a backbone.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.utils import rnn

from pneumoscope.core.registry import Registry
from pneumoscope.core.stage import Head, Stage
from pneumoscope.errors import RecipeError
from pneumoscope.nets.head import MlpHead
from pneumoscope.nets.lstm import BothWays

UNITS = 512  # of the LSTM, each way (section III-C2)


class MakePatientNet(Protocol):
    """What makes one of these networks: the head's description, the features of a slice, the outputs."""

    def __call__(self, head: Head, *, inputs: int, outputs: int) -> nn.Module:
        """The network, its weights drawn from torch's global generator."""


PATIENT: Registry[MakePatientNet] = Registry("network of patients")


def _behind(head: Head, inputs: int, outputs: int) -> MlpHead:
    return MlpHead(head, channels=inputs, grid=(1, 1), outputs=outputs)


@PATIENT.register("maxpool")
class MaxPool(nn.Module):
    """The maximum of each feature over the slices, then the head: 512 hidden units in the paper."""

    def __init__(self, head: Head, *, inputs: int, outputs: int) -> None:
        super().__init__()
        self.head = _behind(head, inputs, outputs)

    def forward(self, slices: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Logits `[N, K]` of slice features `[N, S, F]`.

        lengths: `[N]`, slices of each patient, the first ones of S; None where every patient has S.
        """
        return torch.as_tensor(self.head(self.pooled(slices, lengths)))

    def pooled(self, slices: Tensor, lengths: Tensor | None = None) -> Tensor:
        """One vector a patient, `[N, F]`; arguments as of `forward`."""
        if lengths is not None:
            _check(slices, lengths)
            padding = torch.arange(slices.shape[1]) >= lengths.unsqueeze(1)
            slices = slices.masked_fill(padding.unsqueeze(2), -torch.inf)
        return slices.amax(dim=1)


@PATIENT.register("bilstm")
class BiLstm(nn.Module):
    """The mean of what an LSTM over the slices from both ends gives, then the head: 1024 hidden units in the paper."""

    def __init__(self, head: Head, *, inputs: int, outputs: int, units: int = UNITS) -> None:
        super().__init__()
        self.lstm = BothWays(inputs, units)
        self.head = _behind(head, 2 * units, outputs)

    def forward(self, slices: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Logits `[N, K]` of slice features `[N, S, F]` in their order along the body; lengths as of `MaxPool`."""
        return torch.as_tensor(self.head(self.pooled(slices, lengths)))

    def pooled(self, slices: Tensor, lengths: Tensor | None = None) -> Tensor:
        """One vector a patient, `[N, 2 units]`; arguments as of `forward`."""
        if lengths is None:
            return torch.as_tensor(self.lstm(slices)).mean(dim=1)
        _check(slices, lengths)
        packed = rnn.pack_padded_sequence(slices, lengths.cpu(), batch_first=True, enforce_sorted=False)
        outputs, _ = rnn.pad_packed_sequence(self.lstm.packed(packed), batch_first=True)  # padded with 0
        return outputs.sum(dim=1) / lengths.unsqueeze(1)


@PATIENT.register("ensemble")
class Ensemble(nn.Module):
    """The scores of all patient classifiers, joined, to those of the patient: 10 hidden units in the paper."""

    def __init__(self, head: Head, *, inputs: int, outputs: int) -> None:
        super().__init__()
        self.head = _behind(head, inputs, outputs)

    def forward(self, scores: Tensor) -> Tensor:
        """Logits `[N, K]` of the probabilities of M classifiers, `[N, M * K]`, classifier by classifier."""
        return torch.as_tensor(self.head(scores))


def build_patient(stage: Stage, *, inputs: int, outputs: int, seed: int) -> nn.Module:
    """The network of a stage of level "patient" or "ensemble", seeded.

    inputs: features of a slice, or scores of a patient. outputs: classes.

    Raises:
        UsageError: no such network.
        RecipeError: a head that does what only one behind feature maps can do.
    """
    head = stage.head
    if head.pooling != "average" or head.convolution or head.scales > 1:
        raise RecipeError(
            f"stages.{stage.name}.head: expected pooling 'average', no convolution and 1 scale, as nothing behind the "
            f"slices has maps, found '{head.pooling}', {head.convolution} filters and {head.scales}."
        )
    torch.manual_seed(seed)
    return PATIENT.resolve(stage.net)(head, inputs=inputs, outputs=outputs)


def weighted(features: Tensor, probabilities: Tensor) -> Tensor:
    """Slice features `[..., F]` times each class's probability `[..., K]`, class by class: `[..., K * F]`.

    Source: section III-C2, "Feature Extraction".
    """
    return (probabilities.unsqueeze(-1) * features.unsqueeze(-2)).flatten(-2)


def _check(slices: Tensor, lengths: Tensor) -> None:
    if lengths.shape != slices.shape[:1] or int(lengths.min()) < 1 or int(lengths.max()) > slices.shape[1]:
        raise ValueError(
            f"lengths: expected {slices.shape[0]} numbers of slices from 1 to {slices.shape[1]}, found "
            f"{list(lengths.shape)} from {int(lengths.min())} to {int(lengths.max())}."
        )
