"""Draws from a secret: whoever has it makes them again, in any language; whoever has not cannot guess one of them.

Every number is HMAC-SHA-256 of the secret and a name, so it depends on no version of any library.
"""

import hmac
import re
import secrets
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def make_secret() -> str:
    """256 random bits, 64 hexadecimal digits."""
    return secrets.token_hex(32)


class SecretDraws:
    """Permutations and keys that follow from a secret and the name of their use."""

    def __init__(self, secret: str) -> None:
        """Hold a secret.

        Args:
            secret: 64 lower-case hexadecimal digits.

        Raises:
            ValueError: something else.
        """
        if not re.fullmatch(r"[0-9a-f]{64}", secret):
            raise ValueError("a secret is 64 lower-case hexadecimal digits")
        self.secret = secret
        self._key = bytes.fromhex(secret)

    def derive_key(self, stream: str) -> str:
        """Another secret, 64 hexadecimal digits, from which nobody finds this one."""
        return hmac.new(self._key, stream.encode(), "sha256").hexdigest()

    def shuffle(self, stream: str, items: Sequence[T]) -> list[T]:
        """The items in an order of equal chances: by the hash of their place."""
        places = sorted(range(len(items)), key=lambda place: self.derive_key(f"{stream}|{place}"))
        return [items[place] for place in places]

    def pick(self, stream: str, count: int) -> int:
        """A whole number from 0 to `count` - 1; `count` is small beside 2^256, so the chances are equal."""
        return int(self.derive_key(stream), 16) % count
