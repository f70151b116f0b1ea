"""What a feed takes, as JSON Schema: made from its contract, for people and for programs."""

from typing import Any, Final

from pipeline.contract import Feed, Field

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def sent_fields(feed: Feed) -> tuple[Field, ...]:
    """The fields that a producer sends, each path once, in the order of the contract."""
    by_path = {each.path: each for each in reversed(feed.fields)}
    return tuple(
        by_path.pop(each.path) for each in feed.fields if each.path in by_path and each.sent
    )


def record_schema(feed: Feed) -> dict[str, Any]:
    """The schema of one record (draft 2020-12), without `$schema`.

    Fields that the contract does not name are refused. Where a rule cannot be said in JSON
    Schema, as one about bytes, the schema allows more than the service takes.
    """
    schema = _object(nullable=False)
    for each in sent_fields(feed):
        _add(schema, each)
    return {"title": feed.name, "description": feed.description, **schema}


def _add(schema: dict[str, Any], field: Field) -> None:
    *parents, leaf = field.path.split(".")
    levels = [schema]
    for parent in parents:
        levels.append(levels[-1]["properties"].setdefault(parent, _object(nullable=True)))
    value = field.type.json_schema()
    if field.nullable:
        value = {"anyOf": [value, {"type": "null"}]}
    if field.description:
        value["description"] = field.description
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
