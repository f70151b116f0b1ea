"""PokéAPI: a public, free, paged API; the model of a source."""

from collections.abc import Mapping
from typing import Any, cast

from pipeline.source import Document, Source


def _to_record(document: Document) -> Mapping[str, object]:
    """Height comes in decimetres, weight in hectograms."""
    pokemon = cast("Mapping[str, Any]", document)
    return {
        "id": pokemon["id"],
        "name": pokemon["name"],
        "height": pokemon["height"] / 10,
        "weight": pokemon["weight"] / 10,
        "types": [each["type"]["name"] for each in pokemon["types"]],
        "base_experience": pokemon["base_experience"],
    }


SOURCE = Source(
    name="pokeapi",
    description="The Pokémon of pokeapi.co, with height, weight, types and base experience.",
    feed="pokemon",
    base="https://pokeapi.co/api/v2/",
    list_path="pokemon/",
    transform=_to_record,
    # The service asks for caching and no more: https://pokeapi.co/docs/v2#fairuse
    requests_per_second=20,
    concurrency=8,
)
