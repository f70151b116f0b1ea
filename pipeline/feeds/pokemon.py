"""Pokémon: what the public PokéAPI says of each, as the source `pokeapi` fetches it."""

from pipeline.contract import SENT_AT, Feed, Field
from pipeline.masking.policies import Keep
from pipeline.types import Integer, Number, Text, Texts, Timestamp

_NAMES = ("bulbasaur", "charmander", "squirtle", "pikachu", "eevee", "mew")
_TYPES = ("bug", "electric", "fire", "grass", "normal", "poison", "psychic", "water")

FEED = Feed(
    name="pokemon",
    description="One row for each version of a Pokémon that was seen; the latest is current.",
    queue="pokemon-queue",
    table="pokemon",
    fields=(
        Field("id", Integer(1, 2**31 - 1), Keep(), description="Its number; not dense."),
        Field("name", Text(100, samples=_NAMES), Keep(), description="Its name, in English."),
        Field("height", Number(0, 10_000), Keep(), description="In metres."),
        Field("weight", Number(0, 1_000_000), Keep(), description="In kilograms."),
        Field("types", Texts(Text(50, samples=_TYPES), 10), Keep(), description="In their order."),
        Field(
            "base_experience",
            Integer(0, 1_000_000),
            Keep(),
            nullable=True,
            description="Gained for defeating it; unknown for some.",
        ),
        Field(
            SENT_AT,
            Timestamp(),
            Keep(),
            description="When the queue took it: of two rows of one id the later is current.",
        ),
    ),
)
