# SPDX-License-Identifier: Apache-2.0
"""What a person signs with an Ed25519 key (RFC 8032), and whether a signature is right."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gemma4_ros.core.gate.audit import dump

__all__ = ['approval_text', 'is_signed', 'sha256']


def sha256(text: str) -> str:
    """Return the hash of a text."""
    return hashlib.sha256(text.encode('utf-8')).hexdigest()


def approval_text(asked: Mapping[str, str], person: str, rendering: str) -> bytes:
    """
    Return the bytes that say yes to one request.

    ``asked`` are the ids and hashes of the request (approval, boot, plan, policy, goals); the signer adds the hash of
    the words that were shown, so that a yes to other words than the gate's own is worth nothing.
    """
    return dump({**asked, 'what': 'gemma4_ros approval 1', 'person': person, 'rendering': sha256(rendering)})


def is_signed(key: bytes, signature: bytes, text: bytes) -> bool:
    """Say whether ``signature`` (64 bytes) over ``text`` is by the private half of ``key`` (32 bytes)."""
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, text)
    except (InvalidSignature, ValueError):
        return False
    return True
