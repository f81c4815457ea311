"""Calls to a running exchange, each with a deadline, and a fault in words where one goes wrong."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import msgspec

from exchange.demo.faults import DemoFailed

CALL_S: Final = 15.0
"""Longest for one call: a post may wait for a slow company."""

_PRIVATE: Final = (
    "The demo's CRMs run on this machine: set EXCHANGE_ALLOW_PRIVATE_ADDRESSES=1 to let the "
    "exchange deliver to them."
)


class Client:
    """An HTTP client of one exchange; use it as a context."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url.rstrip("/")
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=CALL_S))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def knows_key(self, api_key: str) -> bool:
        """Whether the exchange takes this key."""
        status, answer = await self._send("GET", "/v1/verticals", api_key, None)
        if status not in (200, 401):
            raise DemoFailed(_tell("GET", "/v1/verticals", status, answer))
        return status == 200

    async def call(
        self,
        method: str,
        path: str,
        api_key: str,
        body: dict[str, Any] | None = None,
        *,
        or_none: bool = False,
    ) -> Any:
        """Make a call and give its answer; None for a 404 if that is ``or_none``.

        Raises DemoFailed with what the exchange answered.
        """
        status, answer = await self._send(method, path, api_key, body)
        if status == 404 and or_none:
            return None
        if status >= 300:
            raise DemoFailed(_tell(method, path, status, answer))
        return answer

    async def _send(
        self, method: str, path: str, api_key: str, body: dict[str, Any] | None
    ) -> tuple[int, Any]:
        assert self._session is not None
        headers = {"Authorization": f"Bearer {api_key}"}
        try:
            async with self._session.request(
                method, self._base_url + path, headers=headers, json=body
            ) as response:
                content = await response.read()
                return response.status, msgspec.json.decode(content) if content else None
        except TimeoutError:
            raise DemoFailed(f"{method} {path} was not answered within {CALL_S:.0f} s") from None
        except aiohttp.ClientError as error:
            raise DemoFailed(
                f"{method} {path}: {self._base_url} does not answer ({type(error).__name__})"
            ) from None
        except msgspec.DecodeError:
            raise DemoFailed(
                f"{method} {path} was answered with something else than JSON"
            ) from None


def _tell(method: str, path: str, status: int, answer: Any) -> str:
    """Tell a problem document in a line."""
    problem = answer if isinstance(answer, dict) else {}
    field = f" ({problem['field']})" if problem.get("field") else ""
    told = (
        f"{method} {path} was answered with {status}: {problem.get('detail', 'no reason')}{field}"
    )
    return f"{told} {_PRIVATE}" if problem.get("code") == "url_refused" else told
