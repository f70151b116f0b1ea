"""What a feed takes, as JSON Schema: made from its contract, for people and for programs."""

from typing import Any, Final

from pipeline.contract import Feed, Field
from pipeline.types import DEFINITIONS, JsonObject

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

_REFERENCE: Final = "$ref"
_DEFINITIONS: Final = "#/$defs/"


def sent_fields(feed: Feed) -> tuple[Field, ...]:
    """The fields that a producer sends, each path once, in the order of the contract."""
    by_path = {each.path: each for each in reversed(feed.fields)}
    return tuple(
        by_path.pop(each.path) for each in feed.fields if each.path in by_path and each.sent
    )


def describe(field: Field) -> str:
    """What people are told of a field, and of what its type's rules cannot say otherwise."""
    of_type = field.type.json_schema().get("description", "")
    return " ".join(str(each) for each in (field.description, of_type) if each)


def record_schema(feed: Feed) -> dict[str, Any]:
    """The schema of one record (draft 2020-12), without `$schema` and `$defs`.

    Fields that the contract does not name are refused. Where a rule cannot be said in JSON
    Schema, as one about bytes, a description says it, and the schema allows more than the
    service takes.
    """
    schema = _object(nullable=False)
    for each in sent_fields(feed):
        _add(schema, each)
    return {"title": feed.name, "description": feed.description, **schema}


def definitions(feed: Feed) -> dict[str, Any]:
    """What a feed's schema refers to, by name: it belongs under `$defs`."""
    uses = any(isinstance(each.type, JsonObject) for each in sent_fields(feed))
    return dict(DEFINITIONS) if uses else {}


def move_definitions(schema: Any, place: str) -> Any:  # noqa: ANN401 - whatever is in a schema
    """The same schema, with its definitions somewhere else than under `$defs`.

    Args:
        schema: A schema, or a part of one.
        place: What a reference begins with, as `#/components/schemas/`.
    """
    if isinstance(schema, list):
        return [move_definitions(each, place) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: place + value.removeprefix(_DEFINITIONS)
        if name == _REFERENCE and isinstance(value, str)
        else move_definitions(value, place)
        for name, value in schema.items()
    }


def _add(schema: dict[str, Any], field: Field) -> None:
    *parents, leaf = field.path.split(".")
    levels = [schema]
    for parent in parents:
        levels.append(levels[-1]["properties"].setdefault(parent, _object(nullable=True)))
    value = field.type.json_schema()
    value.pop("description", None)
    if field.nullable:
        value = {"anyOf": [value, {"type": "null"}]}
    if told := describe(field):
        value["description"] = told
    levels[-1]["properties"][leaf] = value
    if field.nullable:
        return
    # What holds a field that must be there must be there itself, all the way up.
    for level, name in zip(levels, (*parents, leaf), strict=True):
        if name not in level["required"]:
            level["required"].append(name)
    for level in levels[1:]:
        level["type"] = "object"


def _object(*, nullable: bool) -> dict[str, Any]:
    kind = ["object", "null"] if nullable else "object"
    return {"type": kind, "properties": {}, "required": [], "additionalProperties": False}
