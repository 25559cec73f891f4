"""Encryption of account state at rest, under a passphrase.

A sealed file is `MAGIC, version (1), salt (16), check (16), nonce (12)`, then the AES-256-GCM ciphertext; what stands
before the ciphertext is authenticated with it. Key and check are the two parts of one scrypt output: the check tells a
wrong passphrase from a damaged file, and gives a guesser no more than the ciphertext's own tag does.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from pydantic import SecretStr

from relay.errors import BadRequest

SETTING = "RELAY_PROFILE_KEY"
MAGIC = b"relay-sealed"
VERSION = b"\x01"
_SALT = slice(len(MAGIC) + 1, len(MAGIC) + 17)
_CHECK = slice(_SALT.stop, _SALT.stop + 16)
_NONCE = slice(_CHECK.stop, _CHECK.stop + 12)
_HEAD = slice(_NONCE.stop)


class Keyring:
    """Passphrases: the first one seals, any of them opens. Derived keys are kept: each costs 32 MiB and some 0.1 s."""

    def __init__(self, passphrases: Sequence[str]) -> None:
        self._passphrases = tuple(passphrases)
        self._derived: dict[tuple[str, bytes], tuple[bytes, bytes]] = {}

    def __repr__(self) -> str:
        return f"<Keyring of {len(self._passphrases)}>"

    @classmethod
    def of(cls, secrets: Iterable[SecretStr]) -> Keyring | None:
        """The keyring of a setting; None where it is empty, which means: no encryption."""
        found = [text for secret in secrets if (text := secret.get_secret_value())]
        return cls(found) if found else None

    def seal(self, plain: bytes, old: bytes | None = None) -> bytes:
        """Encrypt under the first passphrase.

        The salt is that of `old`, the file so far; a new file takes one that this keyring knows, else a random one, so
        that the accounts of an installation come to share a salt, and all of them cost one derivation.
        """
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        first = self._passphrases[0]
        known = next((salt for passphrase, salt in self._derived if passphrase == first), None)
        salt = (known or os.urandom(16)) if old is None else old[_SALT]
        key, check = self._derive(first, salt)
        nonce = os.urandom(12)
        head = MAGIC + VERSION + salt + check + nonce
        return head + AESGCM(key).encrypt(nonce, plain, head)

    def open(self, sealed: bytes, file: Path) -> bytes:
        """Decrypt. Raises BadRequest for a wrong passphrase or a damaged file; `file` is only named in it."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        key = self.key_of(sealed, file)
        try:
            return AESGCM(key).decrypt(sealed[_NONCE], sealed[_HEAD.stop :], sealed[_HEAD])
        except InvalidTag:
            raise BadRequest(f"{file} is damaged. Restore it from a copy, or remove it and log in again.") from None

    def key_of(self, sealed: bytes, file: Path) -> bytes:
        """The key that a file is sealed under. Raises BadRequest if it is none of ours."""
        if not sealed.startswith(MAGIC) or len(sealed) < _HEAD.stop:
            raise BadRequest(
                f"{file} is not an encrypted state, or damaged. Restore it from a copy, or remove it and log in again."
            )
        if sealed[len(MAGIC) : _SALT.start] != VERSION:
            raise BadRequest(f"{file} is of a form that this version of relay does not know. Update relay.")
        for passphrase in self._passphrases:
            key, check = self._derive(passphrase, sealed[_SALT])
            if hmac.compare_digest(check, sealed[_CHECK]):
                return key
        raise BadRequest(
            f"{file} is encrypted, and {SETTING} is wrong: it was saved under another passphrase (or its head is "
            f"damaged). Add that passphrase to {SETTING}, after a comma."
        )

    def _derive(self, passphrase: str, salt: bytes) -> tuple[bytes, bytes]:
        from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

        known = self._derived.get((passphrase, salt))
        if known is None:
            # An environment variable that is not UTF-8 comes as surrogates.
            output = Scrypt(salt=salt, length=48, n=2**15, r=8, p=1).derive(
                passphrase.encode("utf-8", "surrogateescape")
            )
            known = self._derived[passphrase, salt] = output[:32], output[32:]
        return known
