"""Durations and sizes as people write them: `12h`, `1-12:00:00`, `900G`."""

from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer

from jobs.contract.durations import format_duration, format_size, parse_duration, parse_size

__all__ = ["Duration", "Size", "format_duration", "format_size", "parse_duration", "parse_size"]

Duration = Annotated[
    int, BeforeValidator(parse_duration), PlainSerializer(format_duration, return_type=str)
]
Size = Annotated[float, BeforeValidator(parse_size), PlainSerializer(format_size, return_type=str)]
