"""The nets: their shapes on every kind of data, and that they compute what they say."""

from __future__ import annotations

import inspect
import re

import pytest
import torch
from torch import nn

from fanin.call import bind
from fanin.errors import BadInput
from fanin.experiments.data import DATA
from fanin.experiments.nets import NETS, Perceptron, ResidualCNN, Transformer
from fanin.experiments.nets.experts import Experts
from fanin.frameworks.torch import trace
from fanin.plans import make_plan

SMALL = {
    "autoencoder": ("autoencoder(depth=3, width=8, code=4)", "reconstruction"),
    "mixture_of_experts": ("mixture_of_experts(blocks=1, width=8)", "text"),
    "perceptron": ("perceptron(depth=3, width=8, activation='selu', norm='layer')", "iris"),
    "plain_cnn": ("plain_cnn(depth=3, width=4)", "pictures"),
    "recurrent": ("recurrent(width=4)", "copy(delay=5)"),
    "residual_cnn": ("residual_cnn(blocks=2, width=4)", "pictures"),
    "transformer": ("transformer(blocks=1, width=8, post_norm=True, packed=True)", "text"),
}


@pytest.mark.parametrize("name", NETS)
def test_a_net_fits_its_data_and_can_be_planned(name: str) -> None:
    net_name, data_name = SMALL[name]
    data = bind("data", data_name, DATA)()
    net = bind("net", net_name, NETS)(data)
    x = torch.from_numpy(data.inputs[:3])
    answers = data.targets[:3].shape if data.loss == "squared_error" else (*data.targets[:3].shape, data.outputs)
    assert net(x).shape == answers
    assert len(make_plan(trace(net, x).graph, "auto").entries) == len(list(net.parameters()))


@pytest.mark.parametrize("name", NETS)
def test_a_builder_takes_typed_keywords_and_says_what_is_hard(name: str) -> None:
    parameters = list(inspect.signature(NETS[name]).parameters.values())[1:]
    assert all(p.kind is p.KEYWORD_ONLY and p.default is not p.empty and p.annotation for p in parameters)
    module = inspect.getmodule(NETS[name])
    assert module is not None
    assert re.search(r"\d{4}", module.__doc__ or ""), "no source is cited"


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_each_cell_answers_at_every_step_or_at_the_end(cell: str) -> None:
    for name in ("copy(delay=3)", "adding(length=6)"):
        data = bind("data", name, DATA)()
        out = NETS["recurrent"](data, width=4, cell=cell)(torch.from_numpy(data.inputs[:2]))
        assert out.shape == ((2, data.inputs.shape[1], 8) if data.tokens else (2, 1))


def test_packed_attention_is_that_of_three_layers() -> None:
    torch.manual_seed(0)
    separate, packed = (Transformer(1, 8, 2, tokens=5, length=6, packed=p) for p in (False, True))
    state = separate.state_dict()
    for kind in ("weight", "bias"):
        parts = [state.pop(f"blocks.0.attention.{name}.{kind}") for name in ("q", "k", "v")]
        state[f"blocks.0.attention.qkv.{kind}"] = torch.cat(parts)
    packed.load_state_dict(state)
    ids = torch.randint(5, (2, 6))
    torch.testing.assert_close(packed(ids), separate(ids))


@pytest.mark.parametrize("post_norm", [False, True])
def test_a_transformer_does_not_see_what_comes(post_norm: bool) -> None:
    torch.manual_seed(0)
    net = Transformer(2, 8, 2, tokens=5, length=6, post_norm=post_norm)
    ids = torch.randint(5, (1, 6))
    other = ids.clone()
    other[0, -1] = (ids[0, -1] + 1) % 5
    torch.testing.assert_close(net(other)[:, :-1], net(ids)[:, :-1])
    assert not torch.allclose(net(other)[:, -1], net(ids)[:, -1])


def test_experts_are_the_sum_over_those_picked() -> None:
    torch.manual_seed(0)
    layer, x = Experts(8, 4, 2), torch.randn(1, 1, 8)
    probabilities = layer.router(x).softmax(-1)[0, 0]
    picked = probabilities.topk(2)
    expected = sum(p * layer.experts[int(i)](x) for p, i in zip(picked.values, picked.indices, strict=True))
    torch.testing.assert_close(layer(x), expected)


def test_fixups_scalars_change_nothing_at_first() -> None:
    torch.manual_seed(0)
    plain, scaled = (ResidualCNN(2, 4, 1, 10, scalars=s) for s in (False, True))
    own = {n: w for n, w in plain.state_dict().items() if not re.search(r"conv\d\.bias", n)}
    for name, w in plain.named_parameters():
        if re.search(r"conv\d\.bias", name):
            nn.init.zeros_(w)
    missing, unexpected = scaled.load_state_dict(own, strict=False)
    assert not unexpected
    assert {name.rsplit(".")[-1] for name in missing} == {"bias1a", "bias1b", "bias2a", "bias2b", "scale"}
    x = torch.randn(2, 1, 8, 8)
    torch.testing.assert_close(scaled(x), plain(x))


def test_a_norm_stands_between_layer_and_activation() -> None:
    torch.manual_seed(0)
    net, x = Perceptron(1, 5, 3, 4, "tanh", "layer"), torch.randn(7, 3)
    hidden = nn.functional.layer_norm(net.hidden[0](x), (5,)).tanh()
    torch.testing.assert_close(net(x), net.readout(hidden))


@pytest.mark.parametrize(
    ("net_name", "data_name"),
    [
        ("perceptron(depth=0)", "iris"),
        ("perceptron(depth=2, width=8, activation='leaky_relu(negative_slope=0.2)', norm='batch')", "iris"),
        ("plain_cnn(depth=2, width=4, activation='relu', norm='batch')", "pictures"),
        ("plain_cnn(depth=2, width=4, norm='layer')", "pictures"),
        ("residual_cnn(blocks=2, width=4, norm='layer', activation='gelu')", "pictures"),
        ("residual_cnn(blocks=2, width=4, norm='batch')", "pictures"),
        ("recurrent(width=4, cell='gru', layers=2)", "adding(length=5)"),
        ("recurrent(width=4, cell='rnn', activation='relu')", "adding(length=5)"),
        ("transformer(blocks=1, width=8, activation='relu', norm='rms')", "text"),
        ("transformer(blocks=1, width=8, norm='none', post_norm=True)", "text"),
    ],
)
def test_depth_activation_and_norm_are_arguments(net_name: str, data_name: str) -> None:
    data = bind("data", data_name, DATA)()
    net = bind("net", net_name, NETS)(data)
    out = net(torch.from_numpy(data.inputs[:4]))
    assert out.isfinite().all()
    out.square().sum().backward()
    assert all(w.grad is not None for w in net.parameters())


def test_a_slope_is_that_of_the_name() -> None:
    net = Perceptron(1, 2, 3, 4, "leaky_relu(negative_slope=0.25)")
    assert net.activation(torch.tensor(-4.0)) == -1.0


@pytest.mark.parametrize(
    ("net", "message"),
    [
        ("perceptron(activation='tahn')", "Did you mean 'tanh'"),
        ("perceptron(activation='tanh(slope=1)')", "tanh does not take slope"),
        ("plain_cnn(norm='bach')", "Did you mean 'batch'"),
        ("transformer(norm='batch')", "no norm 'batch'"),
        ("recurrent(cell='rnn', activation='gelu')", "no activation of a recurrent cell 'gelu'"),
    ],
)
def test_what_a_net_does_not_take_is_said(net: str, message: str) -> None:
    data = DATA["text"]() if "transformer" in net else DATA["pictures"]()
    with pytest.raises(BadInput, match=message):
        bind("net", net, NETS)(data)
