"""Names that no feed can have, because Dagster or this project uses them for something else."""

import keyword
from typing import Final

_DAGSTERS: Final = {
    *keyword.kwlist,
    *("context", "conf", "config", "meta", "arg_dict", "dict", "input_arg_dict"),
    *("output_arg_dict", "int", "str", "float", "bool", "input", "output", "type"),
}
"""Words that Dagster refuses as the name of an asset."""

PREFIXES: Final = (
    *("ingest_", "seed_", "send_", "extract_", "mask_", "load_", "acknowledge_", "dead_letters"),
    *("unmask_", "ask_", "forget_", "erase_", "rotate_", "renew_", "redrive_", "purge_", "look_"),
    *("enrich_", "repeat_", "plan_", "fetch_", "refresh_", "retry_", "canary", "check_"),
    "start_up",
)
"""What the names of our jobs, ops and assets begin with."""


def is_reserved(name: str) -> bool:
    """Whether a feed cannot be called that."""
    return name in _DAGSTERS or name.startswith(PREFIXES)
