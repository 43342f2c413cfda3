"""Patients from slices: closed-form sizes, padding that changes nothing, torch's own LSTM as oracle, and the graphs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from pneumoscope.core.stage import Head, Optim, Stage
from pneumoscope.errors import RecipeError, UsageError
from pneumoscope.nets.lstm import BothWays
from pneumoscope.nets.patient import PATIENT, BiLstm, Ensemble, MaxPool, build_patient, weighted
from pneumoscope.runtime import engine

SMALL = Head(pooling="average", hidden=(5,))


def stage(net: str, head: Head = SMALL) -> Stage:
    return Stage(
        name=net,
        level="patient",
        net=net,
        head=head,
        init="random",
        trainable="all",
        loss="cross_entropy",
        class_weights="balanced",
        optim=Optim(name="adam", lr=1e-3),
        epochs=1,
        batch=4,
    )


def trained(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters() if p.requires_grad)


def small(net: str, inputs: int = 6) -> nn.Module:
    torch.manual_seed(4)
    if net == "bilstm":
        return BiLstm(SMALL, inputs=inputs, outputs=3, units=7).eval()
    return MaxPool(SMALL, inputs=inputs, outputs=3).eval()


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("features", [1024, "weighted"])
def test_the_papers_classifiers_have_the_papers_sizes(features: int | str, k: int) -> None:
    f = 1024 * k if features == "weighted" else 1024
    maxpool = build_patient(stage("maxpool", Head(pooling="average", hidden=(512,))), inputs=f, outputs=k, seed=0)
    assert trained(maxpool) == (f * 512 + 512) + (512 * k + k)
    bilstm = build_patient(stage("bilstm", Head(pooling="average", hidden=(1024,))), inputs=f, outputs=k, seed=0)
    # Keras: 4 gates, each of the inputs, the state and one bias, both ways
    assert trained(bilstm) == 2 * 4 * (512 * (f + 512) + 512) + (1024 * 1024 + 1024) + (1024 * k + k)


@pytest.mark.parametrize(("k", "parameters"), [(3, 163), (2, 8 * 10 + 10 + 10 * 2 + 2)])
def test_the_ensemble_has_the_papers_size(k: int, parameters: int) -> None:
    net = build_patient(stage("ensemble", Head(pooling="average", hidden=(10,))), inputs=4 * k, outputs=k, seed=0)
    assert trained(net) == parameters
    assert net(torch.rand(5, 4 * k)).shape == (5, k)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.sampled_from(["maxpool", "bilstm"]))
def test_padding_changes_nothing(lengths: list[int], name: str) -> None:
    net = small(name)
    torch.manual_seed(len(lengths))
    studies = [torch.randn(n, 6) for n in lengths]
    padded = torch.full((len(lengths), max(lengths) + 2, 6), 99.0)
    for row, study in zip(padded, studies, strict=True):
        row[: len(study)] = study
    with torch.inference_mode():
        together = net(padded, torch.tensor(lengths))
        alone = torch.cat([net(study.unsqueeze(0)) for study in studies])
    torch.testing.assert_close(together, alone, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("name", ["maxpool", "bilstm"])
def test_gradients_come_through_padding(name: str) -> None:
    net = small(name).train()
    slices = torch.randn(2, 5, 6, requires_grad=True)
    net(slices, torch.tensor([5, 2])).sum().backward()
    assert slices.grad is not None
    assert not slices.grad[1, 2:].any()
    assert slices.grad[1, :2].any()
    assert all(p.grad is not None for p in net.parameters())


def test_maxima_of_negative_features_are_not_the_padding() -> None:
    net = small("maxpool")
    slices = torch.tensor([[[-3.0], [-1.0], [0.0]]])
    assert net.pooled(slices, torch.tensor([2])).tolist() == [[-1.0]]


def test_the_order_of_slices_matters_to_the_lstm_alone() -> None:
    slices = torch.randn(1, 8, 6)
    with torch.inference_mode():
        assert torch.equal(small("maxpool")(slices), small("maxpool")(slices.flip(1)))
        assert not torch.allclose(small("bilstm")(slices), small("bilstm")(slices.flip(1)))


@pytest.mark.parametrize("lengths", [[0, 3], [4, 3], [3]])
def test_lengths_that_cannot_be_are_refused(lengths: list[int]) -> None:
    for name in ("maxpool", "bilstm"):
        with pytest.raises(ValueError, match="expected 2 numbers of slices from 1 to 3"):
            small(name)(torch.zeros(2, 3, 6), torch.tensor(lengths))


def test_the_lstm_is_torchs_with_one_bias() -> None:
    torch.manual_seed(0)
    ours = BothWays(6, 7)
    oracle = nn.LSTM(6, 7, batch_first=True, bidirectional=True)
    with torch.no_grad():
        for way, suffix in (("there", ""), ("back", "_reverse")):
            getattr(oracle, f"weight_ih_l0{suffix}").copy_(ours.weights[way])
            getattr(oracle, f"weight_hh_l0{suffix}").copy_(ours.recurrent[way])
            getattr(oracle, f"bias_ih_l0{suffix}").copy_(ours.biases[way])
            getattr(oracle, f"bias_hh_l0{suffix}").zero_()
    x = torch.randn(3, 5, 6)
    torch.testing.assert_close(ours(x), oracle(x)[0])


def test_the_lstm_begins_as_keras_does() -> None:
    lstm = BothWays(6, 7)
    for way in ("there", "back"):
        assert lstm.biases[way].tolist() == [0.0] * 7 + [1.0] * 7 + [0.0] * 14
        square = lstm.recurrent[way].T @ lstm.recurrent[way]
        torch.testing.assert_close(square, torch.eye(7), atol=1e-5, rtol=0)
        assert float(lstm.weights[way].detach().abs().max()) <= (6 / (6 + 28)) ** 0.5
    assert not torch.equal(lstm.weights["there"], lstm.weights["back"])


def test_relu_stands_between_and_the_head_of_the_recipe_is_kept() -> None:
    head = Head(pooling="average", hidden=(5,), activation="leaky_relu", dropout=0.5, batch_norm=True)
    net = MaxPool(head, inputs=6, outputs=3)
    assert net.head.slope == 0.01
    assert net.head.norms is not None
    plain = small("maxpool")
    first, last = plain.head.linears
    x = torch.randn(2, 4, 6)
    torch.testing.assert_close(plain(x), last(first(x.amax(1)).relu()))


def test_weighted_features_are_joined_class_by_class() -> None:
    features, p = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[0.5, 0.25, 0.25], [0.0, 1.0, 0.0]])
    assert weighted(features, p).tolist() == [[0.5, 1.0, 0.25, 0.5, 0.25, 0.5], [0.0, 0.0, 3.0, 4.0, 0.0, 0.0]]
    assert weighted(torch.rand(4, 7, 1024), torch.rand(4, 7, 3)).shape == (4, 7, 3072)


def test_one_seed_one_network() -> None:
    one, same, other = (build_patient(stage("bilstm"), inputs=4, outputs=2, seed=s) for s in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not torch.equal(one.head.linears[0].weight, other.head.linears[0].weight)


@pytest.mark.parametrize(
    "head",
    [
        Head(pooling="flatten", hidden=(5,)),
        Head(pooling="average", convolution=3),
        Head(pooling="average", scales=2),
    ],
)
def test_a_head_of_feature_maps_is_refused(head: Head) -> None:
    with pytest.raises(RecipeError, match=r"stages\.maxpool\.head: expected pooling 'average'"):
        build_patient(stage("maxpool", head), inputs=4, outputs=2, seed=0)


def test_an_unknown_network_is_refused() -> None:
    assert set(PATIENT) == {"maxpool", "bilstm", "ensemble"}
    with pytest.raises(UsageError, match="Did you mean 'bilstm'"):
        build_patient(stage("bilstn"), inputs=4, outputs=2, seed=0)


def graph_of(net: nn.Module, example: Tensor, *dynamic: int) -> object:
    shapes = ({axis: torch.export.Dim(f"n{axis}", min=1) for axis in dynamic},)
    exported = torch.onnx.export(net.eval(), (example,), dynamo=True, dynamic_shapes=shapes, verbose=False)
    runner = engine._core()
    model = runner.read_model(exported.model_proto.SerializeToString())
    return runner.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


@pytest.mark.parametrize("name", ["maxpool", "bilstm"])
def test_the_graph_answers_as_torch_for_any_number_of_slices(name: str) -> None:
    net = small(name)
    compiled = graph_of(net, torch.rand(1, 4, 6), 1)
    for s in (1, 7, 300):
        slices = torch.randn(1, s, 6, generator=torch.Generator().manual_seed(s))
        with torch.inference_mode():
            expected = net(slices).numpy()
        np.testing.assert_allclose(compiled([slices.numpy()])[0], expected, atol=1e-5)


def test_the_graph_of_the_ensemble_answers_as_torch() -> None:
    torch.manual_seed(0)
    net = Ensemble(Head(pooling="average", hidden=(10,)), inputs=12, outputs=3)
    compiled = graph_of(net, torch.rand(2, 12), 0)
    for n in (1, 5):
        scores = torch.rand(n, 12)
        with torch.inference_mode():
            np.testing.assert_allclose(compiled([scores.numpy()])[0], net(scores).numpy(), atol=1e-5)
