import json
import math

import numpy as np
import pytest

from engine import initializers
from engine.conventions import KERAS3, TF24, Conventions
from engine.errors import EngineError, InvalidType, InvalidValue, ShapeMismatch, Unsupported
from engine.initializers import (
    INITIALIZERS,
    Constant,
    Identity,
    Initializer,
    Orthogonal,
    RandomNormal,
    RandomUniform,
    TruncatedNormal,
    VarianceScaling,
)

SHAPE = (300, 500)
FAN_IN, FAN_OUT, FAN_AVG = 300, 500, 400

every = pytest.mark.parametrize("cls", INITIALIZERS.values(), ids=INITIALIZERS.keys())


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(seed))


@every
def test_values_have_the_shape_are_float32_and_follow_the_generator(cls: type[Initializer]) -> None:
    first, again = cls()((6, 4), rng()), cls()((6, 4), rng())
    assert first.shape == (6, 4)
    assert first.dtype == np.float32
    assert first.flags.writeable
    assert np.isfinite(first).all()
    assert np.array_equal(first, again)


@pytest.mark.parametrize("name", ["GlorotUniform", "HeNormal", "RandomUniform", "RandomNormal", "Orthogonal"])
def test_an_own_seed_overrides_the_generator(name: str) -> None:
    cls = INITIALIZERS[name]
    seeded = cls.from_config({"seed": 5})
    assert np.array_equal(seeded((4, 4), rng(1)), seeded((4, 4), rng(2)))
    assert not np.array_equal(seeded((4, 4), rng(1)), cls.from_config({"seed": -5})((4, 4), rng(1)))
    assert not np.array_equal(cls()((4, 4), rng(1)), cls()((4, 4), rng(2)))


@pytest.mark.parametrize(
    ("name", "variance", "largest_in_stddevs"),
    [
        ("GlorotUniform", 1 / FAN_AVG, math.sqrt(3)),
        ("GlorotNormal", 1 / FAN_AVG, 2 / initializers.TRUNCATED_STDDEV),
        ("HeUniform", 2 / FAN_IN, math.sqrt(3)),
        ("HeNormal", 2 / FAN_IN, 2 / initializers.TRUNCATED_STDDEV),
        ("LecunUniform", 1 / FAN_IN, math.sqrt(3)),
        ("LecunNormal", 1 / FAN_IN, 2 / initializers.TRUNCATED_STDDEV),
        ("VarianceScaling", 1 / FAN_IN, 2 / initializers.TRUNCATED_STDDEV),
        ("RandomUniform", 0.1**2 / 12, math.sqrt(3)),
        ("RandomNormal", 0.05**2, 7),
        ("TruncatedNormal", (0.05 * initializers.TRUNCATED_STDDEV) ** 2, 2 / initializers.TRUNCATED_STDDEV),
    ],
)
def test_statistics(name: str, variance: float, largest_in_stddevs: float) -> None:
    stddev = math.sqrt(variance)
    values = INITIALIZERS[name]()(SHAPE, rng()).astype(np.float64)
    assert abs(values.mean()) < 5 * stddev / math.sqrt(values.size)
    assert values.std() == pytest.approx(stddev, rel=0.01)
    assert np.abs(values).max() <= largest_in_stddevs * stddev * (1 + 1e-6)
    assert np.abs(values).max() > min(largest_in_stddevs, 4) * stddev * 0.98


@pytest.mark.parametrize("mode", ["fan_in", "fan_out", "fan_avg"])
@pytest.mark.parametrize("distribution", ["uniform", "truncated_normal", "untruncated_normal", "Normal"])
def test_variance_scaling(mode: str, distribution: str) -> None:
    fan = {"fan_in": FAN_IN, "fan_out": FAN_OUT, "fan_avg": FAN_AVG}[mode]
    values = VarianceScaling(3.0, mode, distribution)(SHAPE, rng())
    assert values.std() == pytest.approx(math.sqrt(3 / fan), rel=0.01)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((), (1, 1)), ((7,), (7, 7)), ((3, 5), (3, 5)), ((2, 3, 5), (6, 10)), ((3, 3, 4, 8), (36, 72))],
)
def test_fans(shape: tuple[int, ...], expected: tuple[int, int]) -> None:
    assert initializers.fans(shape) == expected
    assert VarianceScaling()(shape, rng()).shape == shape


def test_given_ranges() -> None:
    values = RandomUniform(2.0, 5.0)((10_000,), rng())
    assert 2 <= values.min() < 2.01
    assert 4.99 < values.max() <= 5
    assert RandomNormal(3.0, 0.0)((4,), rng()).tolist() == [3.0] * 4
    assert TruncatedNormal(100.0, 1.0)((10_000,), rng()).min() >= 98
    assert Constant(2.5)((2,), rng()).tolist() == [2.5, 2.5]


@pytest.mark.parametrize("shape", [(8, 5), (5, 8), (2, 3, 4)])
def test_orthogonal(shape: tuple[int, ...]) -> None:
    matrix = Orthogonal(gain=2.0)(shape, rng()).reshape(-1, shape[-1]).astype(np.float64)
    product = matrix @ matrix.T if matrix.shape[0] < matrix.shape[1] else matrix.T @ matrix
    np.testing.assert_allclose(product, 4 * np.eye(len(product)), atol=1e-6)


def test_orthogonal_matrices_are_spread_evenly() -> None:
    diagonals = [Orthogonal()((3, 3), rng(seed))[0, 0] for seed in range(300)]
    assert abs(np.mean(diagonals)) < 0.15


def test_identity() -> None:
    assert Identity(3.0)((2, 3), rng()).tolist() == [[3, 0, 0], [0, 3, 0]]


@pytest.mark.parametrize(("initializer", "shape"), [(Orthogonal(), (3,)), (Identity(), (3,)), (Identity(), (2, 2, 2))])
def test_shapes_that_a_matrix_does_not_have(initializer: Initializer, shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeMismatch, match="axes"):
        initializer(shape, rng())


@every
@pytest.mark.parametrize("conventions", [TF24, KERAS3], ids=lambda line: line.name)
def test_config_round_trip(cls: type[Initializer], conventions: Conventions) -> None:
    config = json.loads(json.dumps(initializers.serialize(cls(), conventions)))
    assert initializers.deserialize(config) == cls()
    assert initializers.get(config) == cls()
    assert ("module" in config) == conventions.keras3


def test_configs_as_keras_writes_them() -> None:
    assert initializers.serialize(INITIALIZERS["GlorotUniform"](), TF24) == {
        "class_name": "GlorotUniform",
        "config": {"seed": None},
    }
    assert initializers.serialize(INITIALIZERS["GlorotUniform"](), KERAS3) == {
        "module": "keras.initializers",
        "class_name": "GlorotUniform",
        "config": {"seed": None, "input_axes": None, "output_axes": None},
        "registered_name": None,
    }
    assert initializers.serialize(VarianceScaling(), TF24)["config"] == {
        "scale": 1.0,
        "mode": "fan_in",
        "distribution": "truncated_normal",
        "seed": None,
    }


@pytest.mark.parametrize(
    ("name", "class_name"),
    [
        ("glorot_uniform", "GlorotUniform"),
        ("HeNormal", "HeNormal"),
        ("zeros", "Zeros"),
        ("one", "Ones"),
        ("uniform", "RandomUniform"),
        ("normal", "RandomNormal"),
        ("truncated_normal", "TruncatedNormal"),
        ("identity", "Identity"),
    ],
)
def test_names(name: str, class_name: str) -> None:
    assert initializers.get(name) == INITIALIZERS[class_name]()


def test_get_lets_none_and_initializers_through() -> None:
    constant = Constant(1.0)
    assert initializers.get(None) is None
    assert initializers.get(constant) is constant


@pytest.mark.parametrize(
    ("identifier", "error", "message"),
    [
        ("glorot", Unsupported, "Unknown initializer: 'glorot'"),
        (3, InvalidValue, "a name or a serialized initializer"),
        ({"config": {}}, InvalidValue, "class_name"),
        ({"class_name": "Foo", "config": {}}, Unsupported, "Unknown initializer: 'Foo'"),
        ({"class_name": "Zeros", "config": {"seed": 1}}, InvalidType, "no setting 'seed'"),
        ({"class_name": "Constant", "config": {"value": "a"}}, InvalidValue, "a number"),
        ({"class_name": "VarianceScaling", "config": {"scale": 0}}, InvalidValue, "above 0"),
        ({"class_name": "VarianceScaling", "config": {"mode": "fan"}}, InvalidValue, "fan_in"),
        ({"class_name": "VarianceScaling", "config": {"distribution": 3}}, InvalidValue, "uniform"),
        ({"class_name": "HeNormal", "config": {"seed": 1.5}}, InvalidValue, "an integer"),
        ({"class_name": "HeNormal", "config": {"input_axes": [0]}}, Unsupported, "last two axes"),
        ({"class_name": "RandomNormal", "config": {"stddev": -1}}, InvalidValue, "not below 0"),
    ],
)
def test_what_is_refused(identifier: object, error: type[EngineError], message: str) -> None:
    with pytest.raises(error, match=message):
        initializers.get(identifier)
