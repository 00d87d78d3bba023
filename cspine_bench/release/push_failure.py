"""Why a step on the Hub failed, whether it may pass, and what to do."""

import datetime
import email.utils
import errno
import json
import re
from dataclasses import dataclass
from typing import Final

_TRANSIENT: Final = (408, 425, 429, 500, 502, 503, 504)


def hub_http_error() -> type[Exception]:
    """The root of the errors of the HTTP library below huggingface_hub, which has changed with its versions."""
    from huggingface_hub.errors import HfHubHTTPError

    return HfHubHTTPError.__mro__[1]


@dataclass(frozen=True)
class Failure:
    """What went wrong on the way to the Hub or in it.

    Attributes:
        status: of the answer; None where there was none.
        said: by the Hub or by the network.
        retry_after_s: how long the Hub asks to wait.
        may_pass: whether a repetition makes sense.
    """

    status: int | None
    said: str
    retry_after_s: float | None
    may_pass: bool

    @classmethod
    def of(cls, error: BaseException) -> "Failure":
        """Read an error and those below it: uploads of files wrap theirs."""
        chain = [error]
        while (below := chain[-1].__cause__) is not None and below not in chain:
            chain.append(below)
        for one in chain:
            response = getattr(one, "response", None)
            if response is None:
                continue
            status = int(response.status_code)
            said = getattr(one, "server_message", None) or response.headers.get("x-error-message") or f"HTTP {status}"
            after = _parse_rate_limit(response.headers.get("ratelimit"))
            after = _parse_retry_after(response.headers.get("retry-after")) if after is None else after
            return cls(status, _shorten(said), after, status in _TRANSIENT)
        said = _shorten(str(chain[-1]) or type(chain[-1]).__name__)
        if isinstance(error, json.JSONDecodeError):
            said = "the answer is not the Hub's, but perhaps a gateway's"
        if isinstance(error, PermissionError) and error.filename is None:
            return cls(403, said, None, False)  # of the Xet transfer
        lasting = _is_offline(error) or any(isinstance(one, OSError) and one.filename is not None for one in chain)
        return cls(None, said, None, not lasting and any(_may_pass(one) for one in chain))

    def explain(self, tried: int) -> str:
        """What happened, and the next step."""
        times = f" (tried {tried + 1} times)" if tried else ""
        return f"{self.said}{times}; {self._next_step()}"

    def _next_step(self) -> str:
        low = self.said.lower()
        again = "run the same command again, and it goes on where it stopped"
        if self.status == 401:
            return (
                "the Hub does not accept the token, or there is no such repository: run `hf auth login` with a token "
                "that may write, or set HF_TOKEN"
            )
        if self.status in (402, 507) or (self.status == 403 and "storage" in low):
            return f"the account's storage is used up: free some or ask the Hub for more, then {again}"
        if self.status == 403:
            return (
                "the token may not do this: take one with write permission for this owner, "
                "or ask the owner for the right to write"
            )
        if self.status == 404:
            return "it is not there (any more): check the name"
        if self.status in (409, 412):
            return f"somebody else has changed the repository meanwhile: see what, then {again}"
        if self.status == 413:
            return "a file is too large for the Hub: build the release with smaller shards"
        if self.retry_after_s is not None:
            return f"the Hub asks to wait {self.retry_after_s:.0f} s: then {again}"
        if self.status is None and "HF_HUB_OFFLINE" in self.said:
            return "take HF_HUB_OFFLINE out of the environment, and run the same command again"
        if self.may_pass and self.status is None:
            return (
                f"look at the network, and {again}; "
                "where only the Xet storage is out of reach, set HF_HUB_DISABLE_XET=1 first"
            )
        if self.may_pass:
            return f"wait a while, and {again}"
        return "mend it, and run the same command again"


def _is_offline(error: BaseException) -> bool:
    from huggingface_hub.errors import OfflineModeIsEnabled

    return isinstance(error, OfflineModeIsEnabled)


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, hub_http_error()):
        return True
    if isinstance(error, OSError):
        return isinstance(error, ConnectionError | TimeoutError) or error.errno in (errno.ECONNRESET, errno.EPIPE)
    # A RuntimeError of its own comes from the Xet transfer; broken JSON from a gateway before the Hub.
    return isinstance(error, RuntimeError | json.JSONDecodeError)


def _parse_rate_limit(header: str | None) -> float | None:
    """Seconds until requests are allowed again, of `"api";r=0;t=55`; None while some are left.

    Source: draft-ietf-httpapi-ratelimit-headers-09, which the Hub follows.
    """
    match = None if header is None else re.search(r";\s*r=0\b.*;\s*t=(\d+)", header)
    return None if match is None else float(match[1])


def _parse_retry_after(header: str | None) -> float | None:
    """Seconds from now; the header holds seconds or a date. Source: RFC 9110, 10.2.3."""
    if header is None:
        return None
    if header.isdecimal():
        return float(header)
    try:
        moment = email.utils.parsedate_to_datetime(header)
    except ValueError:
        return None
    return max(0.0, (moment - datetime.datetime.now(moment.tzinfo)).total_seconds())


def _shorten(text: str) -> str:
    return " ".join(text.split())[:300]
