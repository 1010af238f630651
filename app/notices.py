"""What the service found out about a job or a file, in the terminal: wrapped, and bounded."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape

WIDEST = 80
MOST_COLUMNS = 20
"""Columns or arrays of a file that are listed; the rest is counted."""
MOST_KEPT = 10
"""Layers that keep a dtype of their own, shown one by one; the rest is counted."""
_INDENT = "  "


def show_reach(reach: Mapping[str, Any], console: Console) -> None:
    """Print which layers follow the policy of a job.

    Args:
        reach: as the service answers it: policy, layers, followed, kept.
        console: where to.
    """
    console.print(escape(f"policy {reach['policy']}: {reach['followed']} of {reach['layers']} layers follow it"))
    for kept in reach["kept"][:MOST_KEPT]:
        console.print(escape(f"  {kept['layer']} keeps {kept['policy']}"))
    if len(reach["kept"]) > MOST_KEPT:
        console.print(f"  ... and {len(reach['kept']) - MOST_KEPT} more layers keep theirs")


def show_warnings(warnings: Sequence[Mapping[str, Any]], console: Console) -> None:
    """Print the warnings of a job; none prints nothing.

    Args:
        warnings: as the service answers them: code, message, pointer.
        console: where to.
    """
    if not warnings:
        return
    count = "1 warning" if len(warnings) == 1 else f"{len(warnings)} warnings"
    console.print(f"[yellow]{count}:[/yellow]")
    for notice in warnings:
        place = f" at {notice['pointer']}" if notice["pointer"] else ""
        console.print(f"[yellow]{escape(notice['code'])}[/yellow]{escape(place)}")
        _wrapped(notice["message"], console)


def show_file(file: Mapping[str, Any], console: Console) -> None:
    """Print what was understood of an uploaded file: rows, columns with their dtypes, labels, what cannot be used.

    Args:
        file: as the service answers it.
        console: where to.
    """
    arrays = file["arrays"]
    rows = "rows differ" if file["rows"] is None else f"{file['rows']:,} rows"
    console.print(f"{escape(file['filename'])}: {file['format']}, {rows}")
    shown = arrays[:MOST_COLUMNS]
    width = max((len(array["name"]) for array in shown), default=0)
    for array in shown:
        shape = "" if len(array["shape"]) == 1 else f" {array['shape']}"
        console.print(escape(f"{_INDENT}{array['name']:{width}}  {array['dtype']}{shape}"))
    if len(arrays) > MOST_COLUMNS:
        console.print(f"{_INDENT}and {len(arrays) - MOST_COLUMNS:,} more")
    for line in _about_labels(file):
        _wrapped(line, console)


def _about_labels(file: Mapping[str, Any]) -> Iterator[str]:
    unusable, label = file["unusable"], file["label"]
    if unusable:
        more = f" and {len(unusable) - MOST_COLUMNS:,} more" if len(unusable) > MOST_COLUMNS else ""
        yield f"no numbers, cannot be used: {', '.join(unusable[:MOST_COLUMNS])}{more}"
    if label is None:
        yield "labels: none is found by its name; a job says which in `data.y`"
    elif file["label_assumed"]:
        yield f"labels: {label}, only because it is the last column; a job may name another in `data.y`"
    else:
        yield f"labels: {label}, unless a job names others in `data.y`"


def _wrapped(text: str, console: Console) -> None:
    width = min(console.width, WIDEST)
    for line in textwrap.wrap(text, width, initial_indent=_INDENT, subsequent_indent=_INDENT, break_long_words=False):
        console.print(escape(line))
