"""Bodies that a route takes as they came, because a process of `app.process_pool` reads them."""

from __future__ import annotations

from typing import Any, Generic, TypeVar, get_args

from pydantic import BaseModel, GetCoreSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

ModelT = TypeVar("ModelT", bound=BaseModel)


class Unread(Generic[ModelT]):
    """JSON that should be a model; the OpenAPI document shows the model.

    Args:
        body: as it came.
    """

    def __init__(self, body: bytes) -> None:
        self.body = body

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        """Take what `app.json_route` made, as it is."""
        (model,) = get_args(source)

        def document(_schema: CoreSchema, handler: Any) -> JsonSchemaValue:
            shown: JsonSchemaValue = handler(model.__pydantic_core_schema__)
            return shown

        return core_schema.is_instance_schema(cls, metadata={"pydantic_js_functions": [document]})
