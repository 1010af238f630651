"""What our routes are compared with: one FastAPI route with as large a pydantic body and answer, and nothing else.

``python -m benchmarks.bare_fastapi PORT``, served by uvicorn as `app.main` serves itself.
"""

import sys
from typing import Any

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel


class Body(BaseModel):
    """As large as a request to validate a policy."""

    policy: Any
    dialect: str = "tf2.4"
    class_name: str | None = None
    loss_scale: Any = "auto"


class LossScale(BaseModel):
    """As large as the loss scale of an answer."""

    class_name: str
    config: dict[str, Any]


class Policy(BaseModel):
    """As large as the policy of an answer."""

    class_name: str
    name: str
    compute_dtype: str | None
    variable_dtype: str | None
    quantization_mode: str | None = None
    loss_scale: LossScale | None
    config: dict[str, Any]


class Fault(BaseModel):
    """As large as a fault or a warning of an answer."""

    code: str
    message: str
    pointer: str


class Answer(BaseModel):
    """As large as the answer."""

    valid: bool
    dialect: str
    policy: Policy | None
    dropped: tuple[str, ...] = ()
    errors: tuple[Fault, ...] = ()
    warnings: tuple[Fault, ...] = ()


def bare_app() -> FastAPI:
    """Return the application."""
    app = FastAPI()

    @app.post("/validate")
    async def validate(body: Body) -> Answer:
        """Answer with what a policy with a dynamic loss scale is, whatever was sent."""
        settings = {"initial_loss_scale": 32768.0, "increment_period": 2000, "multiplier": 2.0}
        scale = LossScale(class_name="DynamicLossScale", config=settings)
        policy = Policy(
            class_name="PolicyV1",
            name=body.policy["config"]["name"],
            compute_dtype="float16",
            variable_dtype="float32",
            loss_scale=scale,
            config=body.policy["config"],
        )
        return Answer(valid=True, dialect=body.dialect, policy=policy)

    return app


if __name__ == "__main__":
    uvicorn.run(bare_app(), port=int(sys.argv[1]), log_level="warning", access_log=False, server_header=False)
