"""Products of two tensors in Einstein's notation, and batched matrix products."""

from __future__ import annotations

import math
import string
from typing import Any

import numpy as np

from engine.dtypes import FLOAT16, DType
from engine.errors import InvalidValue
from engine.ops.narrow_products import narrow_product
from engine.tape import Array, Op, Tensor, apply

Terms = tuple[str, str, str]


def _contracted(equation: Terms, left: Array, right: Array, dtype: DType, *, narrow: bool, fused: bool) -> Array:
    """Return the product; a narrow one as TensorFlow forms it, from matrix products of which each sum is narrow."""
    a, b, out = equation
    if not (narrow and dtype is FLOAT16):
        return np.ascontiguousarray(np.einsum(f"{a},{b}->{out}", left, right, optimize=True))
    batch = [letter for letter in a if letter in b and letter in out]
    summed = [letter for letter in a if letter in b and letter not in out]
    rows = [letter for letter in a if letter not in b]
    columns = [letter for letter in b if letter not in a]
    sizes = dict(zip(a + b, left.shape + right.shape, strict=True))
    shape = [math.prod(sizes[letter] for letter in group) for group in (batch, rows, summed, columns)]
    before = left.transpose([a.index(letter) for letter in (*batch, *rows, *summed)]).reshape(shape[:3])
    after = right.transpose([b.index(letter) for letter in (*batch, *summed, *columns)])
    found = narrow_product(before, after.reshape(shape[0], *shape[2:]), dtype, fused=fused)
    order = [*batch, *rows, *columns]
    found = found.reshape([sizes[letter] for letter in order])
    return np.ascontiguousarray(found.transpose([order.index(letter) for letter in out]))


def _einsum_forward(dtype: DType, left: Array, right: Array, equation: Terms, **sums: bool) -> tuple[Array, Any]:
    return _contracted(equation, left, right, dtype, **sums), (left, right, equation, sums)


def _einsum_backward(dtype: DType, gradient: Array, saved: Any, needed: tuple[bool, ...]) -> tuple[Array | None, ...]:
    left, right, (a, b, out), sums = saved
    return (
        _contracted((out, b, a), gradient, right, dtype, **sums) if needed[0] else None,
        _contracted((out, a, b), gradient, left, dtype, **sums) if needed[1] else None,
    )


def _turned(x: Array) -> Array:
    """Return the transposes of the matrices, copied: a product by them saves more than that costs."""
    return np.ascontiguousarray(x.swapaxes(-1, -2))


def _batched_forward(
    dtype: DType, left: Array, right: Array, transpose_left: bool, transpose_right: bool
) -> tuple[Array, Any]:
    a = left.swapaxes(-1, -2) if transpose_left else left
    return a @ (_turned(right) if transpose_right else right), (a, right, transpose_left, transpose_right)


def _batched_backward(dtype: DType, gradient: Array, saved: Any, needed: tuple[bool, ...]) -> tuple[Array | None, ...]:
    a, right, transpose_left, transpose_right = saved
    by_left = by_right = None
    if needed[0]:
        by_left = gradient @ (right if transpose_right else _turned(right))
        by_left = _turned(by_left) if transpose_left else by_left
    if needed[1]:
        by_right = gradient.swapaxes(-1, -2) @ a if transpose_right else a.swapaxes(-1, -2) @ gradient
    return by_left, by_right


EINSUM = Op("einsum", _einsum_forward, _einsum_backward, rounds_inside=True)
BATCH_MATMUL = Op("batch_matmul", _batched_forward, _batched_backward)


BY_MATMUL = frozenset(
    {
        "ab,b->a",
        "ab,bc->ac",
        "ab,cb->ac",
        "abc,cd->abd",
        "abc,dc->abd",
        "abcd,abde->abce",
        "abcd,abed->abce",
        "abcd,acbe->adbe",
        "abcd,adbe->acbe",
        "abcd,aecd->acbe",
        "abcd,aecd->aceb",
        "abc,cde->abde",
        "abc,dce->abde",
        "abc,dec->abde",
        "abcd,cde->abe",
        "abcd,ced->abe",
        "abcd,ecd->abe",
        "abcde,aebf->adbcf",
        "abcde,afce->acdbf",
    }
)
"""Equations that Keras 3 gives to ``tf.matmul``, its indices named in the order in which they appear."""


def renamed(terms: Terms) -> str:
    """Return an equation with its indices named a, b, c and so on, in the order in which they appear."""
    left, right, out = terms
    names = dict(zip(dict.fromkeys(left + right), string.ascii_lowercase, strict=False))
    a, b, c = ("".join(names[letter] for letter in term) for term in (left, right, out))
    return f"{a},{b}->{c}"


def parse_einsum(equation: str, ranks: tuple[int, int]) -> Terms:
    """Return the three terms of "ab,bc->ac" with every "..." spelled out for operands of these ranks.

    Raises:
        InvalidValue: not such an equation, or an index that is summed within one operand.
    """
    operands, arrow, out = equation.replace(" ", "").partition("->")
    terms = operands.split(",")
    if not arrow or len(terms) != 2:
        message = f"An equation must look like 'ab,bc->ac', with two operands and an arrow, got {equation!r}."
        raise InvalidValue(message, code="invalid_equation")
    free = [letter for letter in string.ascii_letters if letter not in equation]
    spelled = []
    for term, rank in zip(terms, ranks, strict=True):
        hidden = "".join(free[: rank - len(term.replace("...", ""))]) if "..." in term else ""
        spelled.append(term.replace("...", hidden))
        out = out.replace("...", hidden) if hidden else out
    left, right = spelled
    if set(left) - set(right) - set(out) or set(right) - set(left) - set(out):
        message = f"Equation {equation!r} sums an index of one operand only; such sums are not supported."
        raise InvalidValue(message, code="invalid_equation")
    return left, right, out.replace("...", "")


def einsum(equation: str, left: Tensor, right: Tensor, *, narrow: bool = False, fused: bool = True) -> Tensor:
    """Return the product of two tensors of one dtype; "..." stands for leading axes.

    Args:
        equation: "ab,bc->ac".
        left: the first operand.
        right: the second.
        narrow: in float16 it is what ``tf.einsum`` gives, else what ``tf.matmul`` gives.
        fused: of a narrow one; see :func:`~engine.ops.narrow_products.narrow_product`.
    """
    terms = parse_einsum(equation, (left.ndim, right.ndim))
    return apply(EINSUM, left, right, equation=terms, narrow=narrow, fused=fused)


def batch_matmul(left: Tensor, right: Tensor, *, transpose_left: bool = False, transpose_right: bool = False) -> Tensor:
    """Return the matrix product over the last two axes, for all leading axes, which are equal."""
    return apply(BATCH_MATMUL, left, right, transpose_left=transpose_left, transpose_right=transpose_right)
