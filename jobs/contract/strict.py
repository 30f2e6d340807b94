"""What every part of a pipeline file is made from."""

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """A frozen part of a pipeline file; a key it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
