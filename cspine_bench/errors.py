"""The exceptions that a user of the toolkit may meet.

A message says what is wrong, the value met, what is allowed, where, and the next step.
Misuse of a function in code is a plain ValueError or TypeError instead.
"""


class CspineBenchError(Exception):
    """Root of every error that this package raises on its user's input."""


class RecipeError(CspineBenchError):
    """A recipe or an override holds an unknown key or an impossible value."""


class DataError(CspineBenchError):
    """A radiograph, a label file or a dataset folder cannot be used as it is."""


class CheckpointError(CspineBenchError):
    """A model checkpoint is missing, cut short, edited, or of another architecture."""


class ReleaseError(CspineBenchError):
    """A release cannot be built, or is not what its papers say."""


class MissingExtraError(CspineBenchError):
    """An optional dependency is needed and not installed; or one that is always needed, where `extra` is None."""

    def __init__(self, package: str, extra: str | None = None) -> None:
        wanted = package if extra is None else f"'cspine-bench[{extra}]'"
        super().__init__(f"this step needs the package {package!r}; install it with: pip install {wanted}")
