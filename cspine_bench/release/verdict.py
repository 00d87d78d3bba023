"""The verdict on a release: what was looked for, what was found, what could not be looked at."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from cspine_bench.release.checks.tree import Kind, Unchecked
from cspine_bench.release.policy import GateVerdict
from cspine_bench.release.rules import Finding, Level

FailOn = Literal["error", "warning", "never"]
FAIL_ON: Final[tuple[FailOn, ...]] = ("error", "warning", "never")


@dataclass(frozen=True)
class Verdict:
    """Everything that a validation says.

    Attributes:
        path: of the release.
        kind: which of the two repositories it is; None: neither.
        level: how closely it was looked at.
        findings: errors first, then by the order of the rules and by file.
        checked: codes of the rules that were looked for.
        skipped: why a rule was not looked for, by code.
        unchecked: files that the system refused to give.
        num_images: radiographs met.
        gates: of the policy, in its order.
    """

    path: str
    kind: Kind | None
    level: Level
    findings: tuple[Finding, ...]
    checked: tuple[str, ...]
    skipped: dict[str, str]
    unchecked: tuple[Unchecked, ...]
    num_images: int
    gates: tuple[GateVerdict, ...]

    @property
    def valid(self) -> bool:
        """No error was found, and everything could be looked at."""
        return not self.unchecked and not self.failing("error")

    def failing(self, fail_on: FailOn) -> Sequence[Finding]:
        """Findings at or above a severity."""
        if fail_on == "never":
            return ()
        return [finding for finding in self.findings if fail_on == "warning" or finding.severity == "error"]

    def exit_code(self, fail_on: FailOn) -> int:
        """0: no finding at or above `fail_on`; 1: there are some; 2: none, but something could not be looked at."""
        if self.failing(fail_on):
            return 1
        return 2 if self.unchecked else 0
