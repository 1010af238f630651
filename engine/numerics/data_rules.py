"""What is doubtful about data before the first step: figures of each column, held against dtypes, loss and outputs.

The cost is linear in the data, in chunks; what is found names a few columns and counts the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from engine.dtypes import DType
from engine.numerics.findings import Finding
from engine.tape import Array

MOST_NAMED = 5
"""Columns that one finding names; the rest is counted."""
LEAST_ROWS = 3
"""Fewer rows say nothing about a column."""
SAMPLED_ROWS = 10_000
"""Rows of which distinct values are counted."""
FAR_SPREADS = 100.0
"""Columns whose spreads differ by such a factor do not go into one layer unscaled; no column of such a size does."""
IMBALANCE = 10.0
"""The most frequent class has so many times the rows of the rarest."""
MOST_CLASSES = 1_000_000
"""Class numbers that lie further apart are not counted."""
_CHUNK_VALUES = 1 << 20


@dataclass(frozen=True)
class Table:
    """Data of one input or output.

    Attributes:
        what: what messages call it: "`x`" or "`x.image`".
        values: (rows, ...), finite.
        names: of the columns; None where they have none.
    """

    what: str
    values: Array
    names: tuple[str, ...] | None = None

    @property
    def tabular(self) -> bool:
        """Whether it has columns; images and sequences are looked at as a whole."""
        return self.values.ndim == 2

    @property
    def columns(self) -> Array:
        """The values as (rows, columns)."""
        return self.values if self.tabular else self.values.reshape(-1, 1)

    def named(self, which: Sequence[int]) -> str:
        """Return words for some of the columns."""
        if not self.tabular:
            only = f" ({self.names[0]!r})" if self.names else ""
            return f"{self.what}{only}"
        shown = ", ".join(self._name(index) for index in which[:MOST_NAMED])
        more = f" and {len(which) - MOST_NAMED:,} more" if len(which) > MOST_NAMED else ""
        return f"{'columns' if len(which) > 1 else 'column'} {shown}{more} of {self.what}"

    def _name(self, index: int) -> str:
        named = self.names is not None and len(self.names) == self.values.shape[1]
        return repr(self.names[index]) if named and self.names else str(index)


@dataclass(frozen=True)
class Figures:
    """Of each column: its ends, its mean and its standard deviation."""

    low: Array
    high: Array
    mean: Array
    spread: Array

    @property
    def largest(self) -> Array:
        """Largest magnitude."""
        return np.maximum(np.abs(self.low), np.abs(self.high))


def figures_of(table: Table) -> Figures:
    """Return the figures of every column, read in chunks."""
    values = table.columns
    rows, width = values.shape
    origin = values[0].astype(np.float64)  # differences from it, so that large means do not swallow small spreads
    low, high = origin.copy(), origin.copy()
    total, squares = np.zeros(width), np.zeros(width)
    step = max(1, _CHUNK_VALUES // width)
    with np.errstate(all="ignore"):
        for start in range(0, rows, step):
            chunk = values[start : start + step].astype(np.float64)
            low, high = np.minimum(low, chunk.min(axis=0)), np.maximum(high, chunk.max(axis=0))
            chunk -= origin
            total += chunk.sum(axis=0)
            squares += np.square(chunk).sum(axis=0)
        mean = total / rows
        spread = np.sqrt(np.maximum(squares / rows - mean**2, 0))
    return Figures(low, high, origin + mean, spread)


def input_findings(table: Table, dtypes: Iterable[DType], *, scaled: bool) -> Iterator[Finding]:
    """Yield what is doubtful about inputs.

    Args:
        table: the inputs.
        dtypes: in which the first layers take them.
        scaled: whether the model scales them itself, before it computes with them.
    """
    figures = figures_of(table)
    beyond: set[int] = set()
    for dtype in sorted({each for each in dtypes if each.low_precision}, key=lambda each: each.name):
        lost = np.flatnonzero(figures.largest > dtype.max)
        if lost.size:
            beyond |= set(lost.tolist())
            yield _overflow(table, figures, dtype, lost)
        yield from _collapse(table, figures, dtype, beyond)
    if not table.tabular or len(table.values) < LEAST_ROWS:
        return
    flat = np.flatnonzero(figures.low == figures.high)
    if flat.size:
        yield _constant(table, figures, flat)
    if not scaled:
        yield from _unscaled(table, figures, beyond)


def _overflow(table: Table, figures: Figures, dtype: DType, lost: Array) -> Finding:
    rows = _rows_beyond(table.values.reshape(len(table.values), -1), dtype.max)
    ordered = _by_size(figures.largest, lost)
    verb = "go" if len(ordered) > 1 else "goes"
    return Finding(
        code="input_overflow",
        severity="error",
        layer=None,
        why=f"{_capital(table.named(ordered))} {verb} up to {figures.largest[ordered[0]]:g}, beyond {dtype.max:g}, "
        f"where {dtype.name} ends: {rows:,} of {len(table.values):,} rows become infinite in the first layer.",
        fix='Scale the data, or give the first layer dtype "float32".',
        source="IEEE 754; the autocast of tf.keras.layers.Layer.__call__",
        evidence={
            "dtype": dtype.name,
            "columns": len(ordered),
            "largest": float(figures.largest[ordered[0]]),
            "rows": rows,
        },
        about="x",
    )


def _rows_beyond(values: Array, most: float) -> int:
    step = max(1, _CHUNK_VALUES // values.shape[1])
    chunks = (values[start : start + step] for start in range(0, len(values), step))
    return sum(int((np.abs(chunk) > most).any(axis=1).sum()) for chunk in chunks)


def _collapse(table: Table, figures: Figures, dtype: DType, skipped: set[int]) -> Iterator[Finding]:
    """Whole numbers beyond those that the dtype tells apart, and columns whose spread is below its grid."""
    whole = 2.0 ** (dtype.mantissa_bits + 1)
    values = table.columns[:SAMPLED_ROWS]
    fine = (figures.spread > 0) & (figures.spread < dtype.epsilon * np.abs(figures.mean))
    found: dict[int, tuple[int, int]] = {}
    for index in np.flatnonzero((figures.largest > whole) | fine).tolist():
        if index in skipped:
            continue
        column = values[:, index]
        if not fine[index] and (column != np.floor(column)).any():
            continue
        before, after = _distinct(column), _distinct(column.astype(dtype.edge).astype(np.float64))
        if after < before:
            found[index] = (before, after)
    if found:
        ordered = sorted(found, key=lambda index: found[index][1] - found[index][0])
        before, after = found[ordered[0]]
        verb = "have" if len(ordered) > 1 else "has"
        some = f" in the first {SAMPLED_ROWS:,} rows" if len(table.columns) > SAMPLED_ROWS else ""
        first = f" ({table.named(ordered[:1])})" if len(ordered) > 1 else ""
        yield Finding(
            code="input_collapse",
            severity="warning",
            layer=None,
            why=f"{_capital(table.named(ordered))} {verb} values that {dtype.name} cannot tell apart: of {before:,} "
            f"different ones{some}{first}, {after:,} are left. Whole numbers are exact up to {whole:g} in it.",
            fix="Subtract the mean and divide by the spread, look up identifiers in an Embedding, or give the first "
            'layer dtype "float32".',
            source="IEEE 754; the autocast of tf.keras.layers.Layer.__call__",
            evidence={"dtype": dtype.name, "columns": len(ordered), "distinct": before, "distinct_after": after},
            about="x",
        )


def _distinct(values: Array) -> int:
    return int(np.unique(values).size)


def _constant(table: Table, figures: Figures, flat: Array) -> Finding:
    held = figures.low[flat]
    value = f"{held[0]:g}" if (held == held[0]).all() else "one value each"
    verb = "hold" if flat.size > 1 else "holds"
    return Finding(
        code="constant_column",
        severity="warning",
        layer=None,
        why=f"{_capital(table.named(flat.tolist()))} {verb} {value} in every row, so nothing can be learned from it.",
        fix="Leave such columns out.",
        source="scikit-learn's VarianceThreshold",
        evidence={"columns": int(flat.size), "value": float(held[0])},
        about="x",
    )


def _unscaled(table: Table, figures: Figures, skipped: set[int]) -> Iterator[Finding]:
    varies = [index for index in np.flatnonzero(figures.spread > 0).tolist() if index not in skipped]
    if not varies:
        return
    size = np.maximum(np.abs(figures.mean), figures.spread)
    large = [index for index in _by_size(size, np.array(varies)) if size[index] >= FAR_SPREADS]
    spreads = figures.spread[varies]
    widest, narrowest = varies[int(np.argmax(spreads))], varies[int(np.argmin(spreads))]
    ratio = float(figures.spread[widest] / figures.spread[narrowest])
    if not large and ratio < FAR_SPREADS:
        return
    why = (
        f"{_capital(table.named(large))} {'are' if len(large) > 1 else 'is'} not scaled: mean "
        f"{figures.mean[large[0]]:.4g}, spread {figures.spread[large[0]]:.4g}."
        if large
        else f"The columns of {table.what} are of very different spread: {figures.spread[widest]:.4g} in "
        f"{table.named([widest])}, {figures.spread[narrowest]:.4g} in {table.named([narrowest])}."
    )
    yield Finding(
        code="unscaled_input",
        severity="warning",
        layer=None,
        why=f"{why} Large inputs dominate the gradients, and overflow early in 16 bits.",
        fix="Subtract the mean and divide by the spread of each column, or begin with a Normalization or Rescaling.",
        source="LeCun et al., Efficient BackProp (1998), section 4.3",
        evidence={
            "columns": len(large),
            "spread_ratio": min(ratio, 1e308),
            "largest_mean": float(figures.mean[widest]),
        },
        about="x",
    )


def count_classes(labels: Array, units: int, *, sparse: bool) -> dict[int, int]:
    """Return how many labels there are of each class that there is; none if labels are no plain classes.

    Args:
        labels: class numbers, or the probability of each class along the last axis.
        units: classes that the model tells apart.
        sparse: whether labels are class numbers.
    """
    if sparse or units == 1:
        least, most = labels.min(), labels.max()
        if most - least > MOST_CLASSES or (labels != np.floor(labels)).any():
            return {}
        counts, first = np.bincount((labels - least).astype(np.int64).ravel()), int(least)
    else:
        counts, first = np.count_nonzero(labels.reshape(-1, units) == 1, axis=0), 0
        if counts.sum() != labels.size // units:
            return {}
    return {first + index: int(counts[index]) for index in np.flatnonzero(counts).tolist()}


def class_findings(table: Table, counts: Mapping[int, int], *, weighted: bool) -> Iterator[Finding]:
    """Yield what is doubtful about class labels.

    Args:
        table: the labels.
        counts: how many there are of each class.
        weighted: whether rows or classes are given weights already.
    """
    rows = sum(counts.values())
    if rows < LEAST_ROWS:
        return
    most, least = max(counts, key=lambda number: counts[number]), min(counts, key=lambda number: counts[number])
    if len(counts) == 1:
        yield _constant_labels(table, f"class {most}", rows)
    elif counts[most] >= IMBALANCE * counts[least] and not weighted:
        yield Finding(
            code="class_imbalance",
            severity="warning",
            layer=None,
            why=f"{_labels(table)}: class {most} has {counts[most]:,} of {rows:,} labels, class {least} has "
            f"{counts[least]:,}. A model that always says {most} is right in {counts[most] / rows:.1%}.",
            fix="Give rare classes more weight (`class_weight` of `fit`), and watch more than the accuracy.",
            source="tensorflow.org/tutorials/structured_data/imbalanced_data",
            evidence={"most": counts[most], "least": counts[least], "labels": rows},
            about="y",
        )


def _labels(table: Table) -> str:
    """Return words for labels: where they stand, and the column that they come from."""
    return f"{table.what} ({table.names[0]!r})" if table.names and len(table.names) == 1 else table.what


def _constant_labels(table: Table, value: str, rows: int) -> Finding:
    return Finding(
        code="constant_labels",
        severity="warning",
        layer=None,
        why=f"{_labels(table)}: all {rows:,} labels are {value}, so the model only learns to say that.",
        fix="Look whether the right column is taken as labels.",
        source="scikit-learn's VarianceThreshold",
        evidence={"labels": rows},
        about="y",
    )


def value_findings(table: Table, reach: tuple[float, float], output: str) -> Iterator[Finding]:
    """Yield what is doubtful about labels that are numbers to come near to.

    Args:
        table: the labels.
        reach: the least and the largest number that the output can have.
        output: what limits it, in words.
    """
    figures = figures_of(Table(table.what, table.values.reshape(len(table.values), -1)))
    low, high, rows = float(figures.low.min()), float(figures.high.max()), len(table.values)
    if low == high and rows >= LEAST_ROWS:
        yield _constant_labels(table, f"{low:g}", rows)
    if low < reach[0] or high > reach[1]:
        yield Finding(
            code="labels_out_of_reach",
            severity="warning",
            layer=None,
            why=f"{_labels(table)} goes from {low:g} to {high:g}, but {output} gives {reach[0]:g} to {reach[1]:g}.",
            fix="Scale the labels into that range, or end the model without that activation or in a wider dtype.",
            source="the range of the activation and of the dtype",
            evidence={"lowest": low, "highest": high},
            about="y",
        )


def _by_size(size: Array, which: Array) -> list[int]:
    """Return the columns, those of the largest figure first."""
    return [int(index) for index in which[np.argsort(-size[which], kind="stable")]]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
