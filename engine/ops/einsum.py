"""Products of two tensors in Einstein's notation, and batched matrix products."""

from __future__ import annotations

import string
from typing import Any

import numpy as np

from engine.dtypes import DType
from engine.errors import InvalidValue
from engine.tape import Array, Op, Tensor, apply


def _einsum_forward(dtype: DType, left: Array, right: Array, equation: tuple[str, str, str]) -> tuple[Array, Any]:
    a, b, out = equation
    return np.ascontiguousarray(np.einsum(f"{a},{b}->{out}", left, right, optimize=True)), (left, right, equation)


def _einsum_backward(dtype: DType, gradient: Array, saved: Any, needed: tuple[bool, ...]) -> tuple[Array | None, ...]:
    left, right, (a, b, out) = saved
    by_left = np.einsum(f"{out},{b}->{a}", gradient, right, optimize=True) if needed[0] else None
    by_right = np.einsum(f"{a},{out}->{b}", left, gradient, optimize=True) if needed[1] else None
    return (
        None if by_left is None else np.ascontiguousarray(by_left),
        None if by_right is None else np.ascontiguousarray(by_right),
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


EINSUM = Op("einsum", _einsum_forward, _einsum_backward)
BATCH_MATMUL = Op("batch_matmul", _batched_forward, _batched_backward)


def parse_einsum(equation: str, ranks: tuple[int, int]) -> tuple[str, str, str]:
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


def einsum(equation: str, left: Tensor, right: Tensor) -> Tensor:
    """Return the product of two tensors of one dtype; "..." stands for leading axes."""
    return apply(EINSUM, left, right, equation=parse_einsum(equation, (left.ndim, right.ndim)))


def batch_matmul(left: Tensor, right: Tensor, *, transpose_left: bool = False, transpose_right: bool = False) -> Tensor:
    """Return the matrix product over the last two axes, for all leading axes, which are equal."""
    return apply(BATCH_MATMUL, left, right, transpose_left=transpose_left, transpose_right=transpose_right)
