"""What the test pool says of one class map, as a document: the content of `scores.json`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION = 1


class Scores(BaseModel):
    """Fractions, every metric over the full list of classes.

    `per_class_f1` and the rows (truth) and columns (prediction) of `confusion_matrix` follow `class_names`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")

    schema_version: int = Field(SCHEMA_VERSION, le=SCHEMA_VERSION)
    class_names: tuple[str, ...]
    test_pixels: int
    macro_f1: float
    balanced_accuracy: float
    mean_iou: float
    overall_accuracy: float
    kappa: float
    per_class_f1: tuple[float, ...]
    confusion_matrix: tuple[tuple[int, ...], ...]
