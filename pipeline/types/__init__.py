"""What a field's value may be: each type reads a decoded JSON value and names its SQL type."""

from pipeline.types.field_type import FieldType, Scalar
from pipeline.types.ip_address import IpAddress
from pipeline.types.json_object import DEFINITIONS, JsonObject
from pipeline.types.moments import Date, Timestamp
from pipeline.types.numbers import Boolean, Integer, Number
from pipeline.types.text import Text, Texts
from pipeline.types.version import Version

__all__ = [
    "DEFINITIONS",
    "Boolean",
    "Date",
    "FieldType",
    "Integer",
    "IpAddress",
    "JsonObject",
    "Number",
    "Scalar",
    "Text",
    "Texts",
    "Timestamp",
    "Version",
]
