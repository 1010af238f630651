import pytest

from engine.errors import (
    DataInvalid,
    EngineError,
    InvalidType,
    InvalidValue,
    ScaleExhausted,
    ShapeMismatch,
    Unsupported,
    located,
)


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (InvalidValue, ValueError),
        (Unsupported, ValueError),
        (ShapeMismatch, ValueError),
        (DataInvalid, ValueError),
        (InvalidType, TypeError),
        (ScaleExhausted, ArithmeticError),
    ],
)
def test_every_error_is_also_the_builtin_that_keras_raises(error, builtin):
    assert issubclass(error, EngineError)
    assert issubclass(error, builtin)
    assert str(error("why")) == "why"
    assert error("why").code == error.default_code


def test_outer_readers_prefix_where_they_were():
    error = InvalidType("no", code="c", path=("name",), original="KeyError").at("layers", 3).at("model")
    assert type(error) is InvalidType
    assert (error.message, error.code, error.path, error.original) == (
        "no",
        "c",
        ("model", "layers", 3, "name"),
        "KeyError",
    )


def test_located_prefixes_engine_errors_only():
    with pytest.raises(InvalidValue) as caught, located("a", 0), located("b"):
        raise InvalidValue("no")
    assert caught.value.path == ("a", 0, "b")
    with pytest.raises(ZeroDivisionError), located("a"):
        raise ZeroDivisionError
