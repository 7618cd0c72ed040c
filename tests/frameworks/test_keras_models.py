"""Keras models as graphs, plans and starts; on PyTorch here, on JAX in `test_keras_on_jax.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fanin
from fanin.errors import BadInput, CannotTrace, CannotWrite, NoParameters, ShapeMismatch
from fanin.graph import Fans, Role

keras: Any = pytest.importorskip("keras")
layers: Any = keras.layers
# JAX and Keras say what they think of each other's versions
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture(autouse=True)
def names_from_the_start() -> None:
    keras.utils.clear_session()


def perceptron() -> Any:
    stack = [keras.Input((6,)), layers.Dense(5, activation="relu"), layers.Dense(4, activation="gelu"), layers.Dense(3)]
    return keras.Sequential(stack)


def convolutional() -> Any:
    x = keras.Input((8, 8, 3))
    y = layers.Conv2D(8, 3, padding="same", use_bias=False, name="stem")(x)
    y = layers.ReLU()(layers.BatchNormalization(name="norm")(y))
    branch = layers.Conv2D(8, 3, padding="same", groups=2, activation="gelu", name="grouped")(y)
    y = layers.Add()([y, layers.Conv2D(8, 1, name="end")(branch)])
    y = layers.DepthwiseConv2D(3, strides=2, depth_multiplier=2, name="depth")(layers.MaxPooling2D()(y))
    return keras.Model(x, layers.Dense(4, name="head")(layers.GlobalAveragePooling2D()(y)))


class Block(layers.Layer):  # type: ignore[misc]  # Keras has no types
    def __init__(self, width: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.norm1, self.norm2 = layers.LayerNormalization(name="norm1"), layers.LayerNormalization(name="norm2")
        self.attend = layers.MultiHeadAttention(2, width // 2, name="attend")
        self.up = layers.Dense(4 * width, activation="gelu", name="up")
        self.down = layers.Dense(width, name="down")

    def call(self, x: Any) -> Any:
        h = self.norm1(x)
        x = x + self.attend(h, h, use_causal_mask=True)
        return x + self.down(self.up(self.norm2(x)))


class Transformer(keras.Model):  # type: ignore[misc]  # Keras has no types
    def __init__(self) -> None:
        super().__init__()
        self.token = layers.Embedding(11, 16, name="token")
        self.position = layers.Embedding(6, 16, name="position")
        self.blocks = [Block(16, name=f"block{i}") for i in range(2)]
        self.norm, self.head = layers.LayerNormalization(name="norm"), layers.Dense(11, name="head")

    def call(self, ids: Any) -> Any:
        x = self.token(ids) + self.position(keras.ops.arange(ids.shape[1]))
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def recurrent() -> Any:
    both = layers.Bidirectional(layers.LSTM(4, return_sequences=True, name="lstm"), name="both")
    return keras.Sequential([keras.Input((5, 3)), both, layers.GRU(6, name="gru"), layers.Dense(2, name="head")])


class Own(layers.Layer):  # type: ignore[misc]  # Keras has no types
    def build(self, shape: Any) -> None:
        self.w = self.add_weight(shape=(shape[-1], 7), name="w")
        self.b = self.add_weight(shape=(7,), name="bias")
        self.built = True

    def call(self, x: Any) -> Any:
        return keras.ops.tanh(keras.ops.matmul(x, self.w) + self.b)


class Raw(layers.Layer):  # type: ignore[misc]  # Keras has no types
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.first, self.last = layers.Dense(5, activation="tanh", name="first"), layers.Dense(5, name="last")

    def call(self, x: Any) -> Any:
        y = self.first(x)
        if isinstance(y, keras.KerasTensor):
            raise TypeError("only the back end's own tensors")
        return self.last(y)


IDS = np.zeros((2, 6), "int32")
MODELS: dict[str, Callable[[], tuple[Any, ...]]] = {
    "perceptron": lambda: (perceptron(),),
    "convolutional": lambda: (convolutional(),),
    "transformer": lambda: (Transformer(), IDS),
    "recurrent": lambda: (recurrent(),),
}


def values_of(model: Any) -> list[Any]:
    return [np.array(keras.ops.convert_to_numpy(w.value)) for w in model.weights]


def operations(model: Any, *example: Any) -> list[str]:
    from fanin.frameworks.keras import trace

    return [node.op for node in trace(model, *example).graph.nodes]


def test_a_fused_activation_is_an_operation_of_its_own() -> None:
    assert operations(perceptron()) == ["linear", "relu", "linear", "gelu", "linear"]
    plan = fanin.plan(perceptron())
    assert "feeds relu" in plan.entries[0].why
    assert Role.READOUT in plan.entries[4].parameter.roles


def test_an_image_is_turned_once_and_the_graph_is_pytorchs() -> None:
    assert operations(convolutional()) == [
        *("permute", "conv2d", "batch_norm", "relu", "conv2d", "gelu", "conv2d", "add", "max_pool2d", "conv2d"),
        *("mean", "linear"),
    ]
    plan = fanin.plan(convolutional(), recipe="he")
    assert plan["grouped/kernel"].parameter.fans == Fans(36, 36)
    assert plan["depth/kernel"].parameter.fans == Fans(9, 4.5)
    assert plan["depth/kernel"].parameter.shape == (16, 1, 3, 3)
    assert Role.RESIDUAL_OUT in plan["end/kernel"].parameter.roles
    assert Role.NORM_SCALE is plan["norm/gamma"].parameter.role


def test_a_subclassed_model_is_looked_into() -> None:
    plan = fanin.plan(Transformer(), IDS, recipe="gpt2")
    roles = {path: plan[f"block1/{path}"].parameter.roles for path in ("attend/query/kernel", "down/kernel")}
    assert Role.QUERY in roles["attend/query/kernel"]
    assert Role.RESIDUAL_OUT in roles["down/kernel"]
    assert plan["block1/down/kernel"].parameter.branch.count == 4  # type: ignore[union-attr]  # it is in one
    assert Role.POSITION in plan["position/embeddings"].parameter.roles
    assert plan["block0/attend/query/bias"].parameter.shape == (16,)


def test_a_node_says_the_line_of_the_users_code() -> None:
    from fanin.frameworks.keras import trace

    graph = trace(Transformer(), IDS).graph
    assert all(node.source.startswith("test_keras_models.py:") for node in graph.nodes)
    (down, *_) = (node for node in graph.nodes if node.module == "block0/down")
    assert down.op == "linear"


def test_activations_by_every_name_are_known() -> None:
    from fanin.frameworks.keras import trace

    for name, expected in {
        **{"relu": "relu", "leaky_relu": "leaky_relu(negative_slope=0.2)", "relu6": "relu6", "gelu": "gelu"},
        **{
            "elu": "elu(alpha=1)",
            "selu": "selu",
            "silu": "silu",
            "swish": "silu",
            "mish": "mish",
            "celu": "celu(alpha=1)",
        },
        **{"hard_silu": "hardswish", "hard_sigmoid": "hardsigmoid", "log_sigmoid": "logsigmoid", "tanh": "tanh"},
        **{"softsign": "softsign", "softplus": "softplus", "sigmoid": "sigmoid", "hard_tanh": "hardtanh"},
    }.items():
        fused = keras.Sequential([keras.Input((4,)), layers.Dense(3, activation=name)])
        alone = keras.Sequential([keras.Input((4,)), layers.Dense(3), layers.Activation(name)])
        assert [str(trace(model).graph.nodes[-1].activation) for model in (fused, alone)] == [expected] * 2, name
    layered = {
        layers.LeakyReLU(0.1): "leaky_relu(negative_slope=0.1)",
        layers.ReLU(6.0): "relu6",
        layers.ELU(): "elu(alpha=1)",
    }
    for layer, expected in layered.items():
        model = keras.Sequential([keras.Input((4,)), layers.Dense(3), layer])
        assert str(trace(model).graph.nodes[-1].activation) == expected


def test_padding_upsampling_and_preprocessing_are_pytorchs_operations() -> None:
    x = keras.Input((8, 8, 3))
    y = layers.Normalization(mean=[1.0, 2.0, 3.0], variance=[4.0, 4.0, 4.0])(layers.Rescaling(1 / 255, offset=-1)(x))
    y = layers.Conv2D(4, 3)(layers.UpSampling2D()(layers.ZeroPadding2D(((0, 1), (2, 3)))(y)))
    model = keras.Model(x, y)
    assert operations(model) == ["mul", "add", "sub", "div", "permute", "pad", "upsample_nearest2d", "conv2d"]
    images = np.random.default_rng(0).uniform(0, 255, (4, 8, 8, 3)).astype("float32")
    predicted, measured = fanin.predict(model, images), fanin.measure(model, images)
    for name in ("div", "pad", "upsample_nearest2d"):
        assert abs(predicted.values[name].second_moment / measured.values[name].second_moment - 1) < 0.01


def test_gates_are_drawn_each_under_a_name() -> None:
    plan = fanin.plan(recurrent())
    kernel = plan["both/forward_lstm/lstm_cell/kernel"].parameter
    assert (kernel.parts and kernel.parts.names, kernel.fans) == (("i", "f", "g", "o"), Fans(3, 4))
    assert plan["both/backward_lstm/lstm_cell/recurrent_kernel"].parameter.role is Role.RECURRENT
    assert plan["gru/gru_cell/kernel"].parameter.parts.names == ("z", "r", "n")  # type: ignore[union-attr]
    assert "forget gates" in plan["both/forward_lstm/lstm_cell/bias"].why


def test_a_layer_of_the_users_own_is_followed_by_its_operations() -> None:
    x = keras.Input((6,))
    plan = fanin.plan(keras.Model(x, layers.Dense(3, name="head")(Own(name="own")(x))))
    assert (plan["own/w"].parameter.shape, plan["own/w"].parameter.fans) == ((7, 6), Fans(6, 7))
    assert "feeds tanh" in plan["own/w"].why
    assert Role.BIAS in plan["own/bias"].parameter.roles


def test_a_layer_that_cannot_be_looked_into_is_said_to_be_so() -> None:
    x = keras.Input((6,))
    plan = fanin.plan(keras.Model(x, layers.Dense(3, name="head")(Raw(name="raw")(x))))
    assert "raw was not looked into (only the back end's own tensors)" in plan.notes[0]
    assert (plan["raw/first/kernel"].parameter.role, plan["raw/first/kernel"].parameter.fans) == (
        Role.WEIGHT,
        Fans(6, 5),
    )
    assert "feeds tanh" in plan["raw/first/kernel"].why
    assert "assumed" in plan["raw/last/kernel"].why


@pytest.mark.parametrize("name", MODELS)
def test_the_model_is_what_the_plan_says_and_only_that(name: str) -> None:
    model, *example = MODELS[name]()
    plan = fanin.initialize_(model, *example, seed=5)
    assert fanin.verify(model, plan, seed=5, blocks=None)
    assert not fanin.verify(model, plan, seed=6)
    again = fanin.initialize_(model, *example, recipe=plan, seed=5)
    assert again == plan


@pytest.mark.parametrize("name", MODELS)
def test_planning_changes_nothing(name: str) -> None:
    model, *example = MODELS[name]()
    model(*example or [np.zeros([1, *model.input_shape[1:]], "float32")])
    nodes = [len(layer._inbound_nodes) for layer in model._flatten_layers()]
    before, call = values_of(model), keras.layers.Layer.__call__
    fanin.plan(model, *example)
    assert all(np.array_equal(a, b) for a, b in zip(before, values_of(model), strict=True))
    assert nodes == [len(layer._inbound_nodes) for layer in model._flatten_layers()]
    assert keras.layers.Layer.__call__ is call


def test_a_model_that_is_not_built_is_built_by_the_example() -> None:
    model = keras.Sequential([layers.Dense(4), layers.Dense(2)])
    with pytest.raises(BadInput, match="give one batch"):
        fanin.plan(model)
    assert len(fanin.plan(model, np.zeros((2, 3), "float32"))) == 4
    assert len(fanin.plan(model)) == 4  # now it says itself what it is called with


def test_frozen_layers_are_kept_and_an_override_goes_by_class() -> None:
    model = perceptron()
    model.layers[0].trainable = False
    before = values_of(model)[0]
    plan = fanin.initialize_(model, recipe="he", seed=0, overrides={"type:keras.layers.Dense": "zeros"})
    assert not values_of(model)[0].any()
    plan = fanin.initialize_(model, recipe="he", seed=0)
    assert str(plan.entries[0].initializer) == "keep"
    assert fanin.plan(model, recipe="he", overrides={layers.Dense: "ones"}).entries[0].std == 0
    assert before.any()


def test_a_failure_leaves_every_variable_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    model = perceptron()
    plan, before = fanin.plan(model, recipe="he"), values_of(model)
    variable, own = model.weights[2], type(model.weights[2]).assign

    def assign(self: Any, value: Any) -> Any:
        if self is variable and not np.array_equal(keras.ops.convert_to_numpy(value), before[2]):
            raise KeyboardInterrupt
        return own(self, value)

    monkeypatch.setattr(type(variable), "assign", assign)
    with pytest.raises(KeyboardInterrupt):
        fanin.initialize_(model, recipe=plan, seed=0)
    assert all(np.array_equal(a, b) for a, b in zip(before, values_of(model), strict=True))


def test_a_seed_comes_from_the_generator_that_keras_seeds() -> None:
    first, second = perceptron(), perceptron()
    for model in (first, second):
        keras.utils.set_random_seed(7)
        fanin.initialize_(
            model, recipe="he", rename={e.parameter.path: str(i) for i, e in enumerate(fanin.plan(model))}
        )
    assert all(np.array_equal(a, b) for a, b in zip(values_of(first), values_of(second), strict=True))


def test_half_precision_is_drawn_and_verified() -> None:
    x = keras.Input((6,))
    model = keras.Model(x, layers.Dense(4, dtype="bfloat16")(x))
    plan = fanin.initialize_(model, recipe="he", seed=0)
    assert plan.entries[0].parameter.dtype == "bfloat16"
    assert fanin.verify(model, plan, seed=0, blocks=None)


def test_initializers_that_layers_were_given_are_not_overridden_in_silence() -> None:
    x = keras.Input((6,))
    own = layers.Dense(4, kernel_initializer="he_normal", name="own")
    model = keras.Model(x, layers.Dense(3, name="plain")(layers.LSTM(5)(layers.Reshape((2, 2))(own(x)))))
    with pytest.warns(UserWarning, match=r"place of 1 initializer.*own/kernel \(HeNormal → normal") as said:
        fanin.initialize_(model, recipe="lecun", seed=0)
    assert len(said) == 1
    fanin.initialize_(model, recipe="lecun", overrides={"own/kernel": "keep"}, seed=0)  # nothing to say


def test_a_file_of_pytorch_is_read_in_the_layout_of_keras(tmp_path: Any) -> None:
    """The recipe of docs/frameworks.md for weights that were trained elsewhere."""
    torch = pytest.importorskip("torch")
    save_file = pytest.importorskip("safetensors.torch").save_file
    theirs = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten(), torch.nn.Linear(16, 2))
    save_file(theirs.state_dict(), tmp_path / "w.safetensors")
    x = keras.Input((4, 4, 3))
    y = layers.Permute((3, 1, 2))(layers.Conv2D(4, 3, name="c")(x))  # channels first, as Flatten of PyTorch sees them
    model = keras.Model(x, layers.Dense(2, name="d")(layers.Flatten()(y)))
    names = {"c/kernel": "0.weight", "c/bias": "0.bias", "d/kernel": "2.weight", "d/bias": "2.bias"}
    stored = f"pretrained(path='{tmp_path / 'w.safetensors'}')"
    fanin.initialize_(model, recipe="he", overrides={"*": stored}, rename=names, seed=0)
    images = np.random.default_rng(0).standard_normal((5, 3, 4, 4)).astype("float32")
    expected = theirs(torch.from_numpy(images)).detach().numpy()
    got = keras.ops.convert_to_numpy(keras.ops.stop_gradient(model(images.transpose(0, 2, 3, 1))))
    assert np.abs(got - expected).max() < 1e-5


def test_bad_input_is_explained() -> None:
    model = perceptron()
    with pytest.raises(ShapeMismatch, match=r"cannot be called with this example: .*expected"):
        fanin.plan(model, np.zeros((2, 7), "float32"))
    with pytest.raises(BadInput, match="holds no array"):
        fanin.plan(model, "x")
    with pytest.raises(NoParameters, match="no trainable variables"):
        fanin.plan(keras.Sequential([keras.Input((3,)), layers.ReLU()]))
    with pytest.raises(BadInput, match=r"fanin\.materialize_ does not serve models of keras"):
        fanin.materialize_(model, fanin.plan(model), seed=0)
    with pytest.raises(CannotWrite, match=r"in the plan, not in the model"):
        fanin.initialize_(convolutional(), recipe=fanin.plan(model), seed=0)
    with pytest.raises(BadInput, match="seed"):
        fanin.initialize_(model, seed=-1)

    class Broken(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.d = layers.Dense(3)

        def call(self, x: Any) -> Any:
            if isinstance(x, keras.KerasTensor):
                raise RuntimeError("no symbols here")
            return self.d(x)

        def compute_output_spec(self, x: Any) -> Any:
            raise RuntimeError("nor here")

    with pytest.raises(CannotTrace, match="Broken cannot be run on symbolic tensors"):
        fanin.plan(Broken(), np.zeros((2, 7), "float32"))


def test_an_older_version_is_refused_with_the_command_that_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras, "__version__", "3.9.2")
    with pytest.raises(BadInput, match=r"Keras 3\.15 and newer; this is 3\.9\.2.*fanin\[keras\]"):
        fanin.plan(perceptron())


def test_layers_of_one_path_are_refused() -> None:
    x = keras.Input((6,))

    class Twice(layers.Layer):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(name="twice")
            self.a, self.b = layers.Dense(6, name="same"), layers.Dense(6, name="same")

        def call(self, x: Any) -> Any:
            return self.b(self.a(x))

    with pytest.raises(BadInput, match=r"those of two variables: twice/same/kernel.*names of their own"):
        fanin.plan(keras.Model(x, Twice()(x)))
