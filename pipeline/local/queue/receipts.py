"""Receipts: opaque to clients, and the way back to the message in one step for the queue."""

import base64
import binascii
import random

from pipeline.local.queue.errors import SqsError


def new_receipt(name: str, message_id: str, rng: random.Random) -> str:
    """A receipt for one delivery of a message from a queue."""
    nonce = f"{rng.getrandbits(64):016x}"
    return base64.b64encode(f"{name}/{message_id}/{nonce}".encode()).decode()


def message_id_in(receipt: str, name: str) -> str:
    """The message that a queue gave a receipt for, whether or not it still exists.

    Raises:
        SqsError: ReceiptHandleIsInvalid, for what this queue has never given out.
    """
    try:
        queue, message_id, _ = base64.b64decode(receipt, validate=True).decode().split("/")
    except (binascii.Error, ValueError):
        queue = message_id = ""
    if queue != name:
        raise SqsError("ReceiptHandleIsInvalid", "The input receipt handle is invalid.")
    return message_id
