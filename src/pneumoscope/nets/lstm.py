"""A bidirectional LSTM as Keras has it, which Garg 2021 used, on torch's kernels.

Keras's gates have one bias where torch's have two that are added; trained with Adam, two would move twice as far. And
`nn.LSTM` does not export without warnings of torch's own, where ONNX has the whole layer as one operator.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

WAYS = ("there", "back")  # over the sequence
OPSET = 14  # of ONNX, the first that has this operator as it still is but for types


class BothWays(nn.Module):
    """One layer, from both ends: sequences `[N, S, F]` -> `[N, S, 2 units]`, the way back behind the way there.

    Begun as Keras does: Glorot's uniform weights, orthogonal recurrent ones, biases 0 but of the forget gates, 1.
    """

    second: Tensor  # torch's second bias

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__()
        self.units = units
        gates = 4 * units  # in torch's order: input, forget, cell, output
        self.weights = nn.ParameterDict({way: nn.init.xavier_uniform_(torch.empty(gates, inputs)) for way in WAYS})
        self.recurrent = nn.ParameterDict({way: nn.init.orthogonal_(torch.empty(gates, units)) for way in WAYS})
        forget = torch.arange(gates) // units == 1
        self.biases = nn.ParameterDict({way: forget.float() for way in WAYS})
        self.register_buffer("second", torch.zeros(gates), persistent=False)

    def forward(self, sequences: Tensor) -> Tensor:
        """See the class."""
        if torch.onnx.is_in_onnx_export():
            return self._as_operator(sequences)
        start = sequences.new_zeros(2, sequences.shape[0], self.units)
        outputs, _, _ = torch.lstm(sequences, (start, start), self._tensors(), True, 1, 0.0, self.training, True, True)
        return outputs

    def packed(self, sequences: PackedSequence) -> PackedSequence:
        """The same of sequences of different lengths, each from its own end."""
        start = sequences.data.new_zeros(2, int(sequences.batch_sizes[0]), self.units)
        outputs, _, _ = torch.lstm(
            sequences.data, sequences.batch_sizes, (start, start), self._tensors(), True, 1, 0.0, self.training, True
        )
        return sequences._replace(data=outputs)

    def _tensors(self) -> list[Tensor]:
        return [
            tensor for way in WAYS for tensor in (self.weights[way], self.recurrent[way], self.biases[way], self.second)
        ]

    def _as_operator(self, sequences: Tensor) -> Tensor:
        """ONNX's LSTM: `[S, N, F]` -> `[S, 2, N, units]`, gates in the order input, output, forget, cell."""
        weights, recurrent, biases = (
            torch.stack([_reordered(tensors[way]) for way in WAYS])
            for tensors in (self.weights, self.recurrent, self.biases)
        )
        outputs = torch.onnx.ops.symbolic(
            "::LSTM",
            (sequences.transpose(0, 1), weights, recurrent, torch.cat([biases, torch.zeros_like(biases)], dim=1)),
            {"hidden_size": self.units, "direction": "bidirectional"},
            dtype=sequences.dtype,
            shape=(sequences.shape[1], 2, sequences.shape[0], self.units),
            version=OPSET,
        )
        return outputs.permute(2, 0, 1, 3).flatten(2)


def _reordered(gates: Tensor) -> Tensor:
    units = gates.shape[0] // 4
    return torch.cat([gates[:units], gates[3 * units :], gates[units : 3 * units]])
