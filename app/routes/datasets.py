"""Built-in real data sets."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter

from app.answers import Answer, ListAnswer
from app.query_route import QueryRoute
from engine.datasets import BUILTIN

router = APIRouter(prefix="/v1/datasets", tags=["datasets"], route_class=QueryRoute)


class DatasetAnswer(Answer):
    """A data set that a job can name."""

    id: str
    object: Literal["dataset"] = "dataset"
    name: str
    samples: int
    shapes: dict[str, list[int]]
    dtype: Any
    classes: int | None
    attribution: str
    license: str


@router.get("")
def list_datasets() -> ListAnswer[DatasetAnswer]:
    """List the data sets that a job can name."""
    data = [
        DatasetAnswer(
            id=info.name,
            name=info.name,
            samples=info.samples,
            shapes={part: list(shape) for part, shape in info.shapes.items()},
            dtype=info.dtype,
            classes=info.classes,
            attribution=info.attribution,
            license=info.license,
        )
        for info in BUILTIN.values()
    ]
    return ListAnswer[DatasetAnswer].of(data, "id")
