"""Which frame is real: sealed before the first answer by a salted hash, opened once by `study unblind`."""

import hashlib
import json
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

Key = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
REAL: Final = "real"
"""Name of the real source; the synthetic ones are s1, s2 ... or what the plan calls them."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FrameTruth(_Frozen):
    """What one frame is.

    Args:
        source: `real`, or the name of a synthetic source, or of a control.
        dataset: name of its dataset folder.
        sample_id: in that dataset.
        changed: what was done to it besides the resampling of all, for example a control's artefact; "" nothing.
    """

    source: str
    dataset: str
    sample_id: str
    changed: str = ""


class Truth(_Frozen):
    """All frames, by number, with the secrets that the draws came from.

    Args:
        salt: random; without it nobody can test a guess of the truth against its hash.
        secret: random; panes, orders and ids were drawn from it, so that they can be made again after unblinding.
        frames: row i tells what frame i is.
    """

    salt: Key
    secret: Key
    frames: tuple[FrameTruth, ...]

    def render(self) -> bytes:
        """The bytes of the sealed file."""
        return (json.dumps(self.model_dump(mode="json"), sort_keys=True, indent=1) + "\n").encode()

    def compute_seal(self) -> str:
        """SHA-256 of the sealed file, salt included: published in the protocol before the first answer."""
        return hashlib.sha256(self.render()).hexdigest()
