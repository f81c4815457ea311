"""Dialects as they are used: presets filled in, secrets opened, everything compiled once.

What is compiled is kept with the very object it was compiled from, so a campaign's new version is
compiled anew and an old one never used for it. Faults name the place in what was written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final, Generic, TypeVar

from msgspec.structs import replace

from exchange.buyers.answers import Listener
from exchange.buyers.hearing import OWN_BID
from exchange.buyers.lead_fields import Allowed, Side
from exchange.buyers.letters import Letter
from exchange.buyers.mapping import MappingFault
from exchange.buyers.presets import PresetError, expand
from exchange.buyers.requests import Request
from exchange.buyers.sealing import SealError, SecretBox, is_sealed
from exchange.core.dialect import (
    Dialect,
    Mail,
    PresetUse,
    Reading,
    Rule,
    Signed,
    Speech,
    Test,
    change_secrets,
)
from exchange.core.model import CampaignId, CompanyId, DeliveryTarget
from exchange.core.remote import Remote
from exchange.core.verticals import Vertical
from exchange.flow.dialects import DialectFault

MAX_KEPT: Final = 20_000
"""Compiled dialects kept; past it the oldest go, and are compiled again when asked for."""

SecretOf = Callable[[CompanyId], str]
CompanyOf = Callable[[CampaignId], CompanyId | None]

WEBHOOK: Final = Dialect(post=Speech(auth=Signed()))
"""How a webhook is spoken to where nothing else is said: the exchange's own JSON, signed."""

_OWN_MAIL: Final = Dialect(mail=Mail())

T = TypeVar("T")


class Spoken:
    """One side of a dialect, compiled. ``listener`` is None for the exchange's own answers."""

    __slots__ = ("listener", "reading", "request", "secrets")

    def __init__(
        self,
        request: Request,
        reading: Reading | None,
        listener: Listener | None,
        secrets: dict[str, str],
    ) -> None:
        self.request = request
        self.reading = reading
        self.listener = listener
        self.secrets = secrets


class _Kept(Generic[T]):
    """What was compiled, by the object it was compiled from."""

    def __init__(self) -> None:
        self._by_id: dict[int, tuple[object, T]] = {}

    def get(self, of: object, make: Callable[[], T]) -> T:
        found = self._by_id.get(id(of))
        # The object is kept too, so its id cannot become another's.
        if found is not None and found[0] is of:
            return found[1]
        made = make()
        if len(self._by_id) >= MAX_KEPT:
            del self._by_id[next(iter(self._by_id))]
        self._by_id[id(of)] = (of, made)
        return made


class Dialects:
    """Compiles dialects and keeps them.

    ``keys`` open the secrets at rest (see `sealing`); ``secret_of`` gives a company's signing
    secret, ``company_of`` a campaign's company, ``clock`` the present.
    """

    def __init__(
        self,
        *,
        keys: Sequence[tuple[int, bytes]],
        secret_of: SecretOf,
        company_of: CompanyOf,
        clock: Callable[[], datetime],
    ) -> None:
        self._box = SecretBox(keys)
        self.secret_of = secret_of
        self.company_of = company_of
        self.clock = clock
        self._pings: _Kept[Spoken] = _Kept()
        self._posts: _Kept[Spoken | None] = _Kept()
        self._mails: _Kept[tuple[Letter, dict[str, str]]] = _Kept()

    def seal(self, secret: str) -> str:
        """Encrypt a secret for keeping."""
        return self._box.seal(secret)

    def ping(self, remote: Remote) -> Spoken:
        """How a company's bidder is asked. Raises DialectFault."""
        return self._pings.get(remote, lambda: self.compile_ping(remote, None))

    def post(self, target: DeliveryTarget) -> Spoken | None:
        """How a company's system is told; None for the exchange's own way. Raises DialectFault."""
        return self._posts.get(target, lambda: self.compile_post(target, None))

    def mail(self, target: DeliveryTarget) -> tuple[Letter, dict[str, str]]:
        """How a company is written to, and its secrets. Raises DialectFault."""
        return self._mails.get(target, lambda: self.compile_mail(target, None))

    def written(self, spoken: Dialect | PresetUse) -> Dialect:
        """A dialect as it is used: secrets open, a preset filled in. Raises DialectFault."""
        try:
            if isinstance(spoken, PresetUse):
                return expand(change_secrets(spoken, self._open))
            return change_secrets(spoken, self._open)
        except PresetError as fault:
            raise DialectFault(f"preset.{fault.path}", fault.message) from None
        except SealError as fault:
            raise DialectFault("secrets", str(fault)) from None

    def _open(self, path: str, secret: str) -> str:
        return self._box.open(secret) if is_sealed(secret) else secret

    def compile_ping(self, remote: Remote, vertical: Vertical | None) -> Spoken:
        """Compile without keeping, checked against a vertical if one is given."""
        dialect, prefix = self._of(remote.dialect, remote.preset, Dialect(ping=Speech()))
        if dialect.ping is None:
            raise DialectFault(f"{prefix}ping", "is missing")
        speech = dialect.ping
        request = _request(speech, remote.url, "ping", dialect, vertical, f"{prefix}ping")
        reading = speech.answer or OWN_BID
        if not reading.outcomes:
            reading = _with_own_outcomes(reading, f"{prefix}ping.answer")
        listener = _listener(reading, f"{prefix}ping.answer")
        return Spoken(request, reading, listener, dialect.secrets)

    def compile_post(self, target: DeliveryTarget, vertical: Vertical | None) -> Spoken | None:
        """Compile without keeping, checked against a vertical if one is given."""
        own = WEBHOOK if target.kind == "webhook" else None
        if own is None and target.dialect is None and target.preset is None:
            return None
        dialect, prefix = self._of(target.dialect, target.preset, own or WEBHOOK)
        if dialect.post is None:
            raise DialectFault(f"{prefix}post", "is missing")
        speech = dialect.post
        if target.kind == "webhook" and speech.auth is None:
            speech = replace(speech, auth=Signed())
        request = _request(speech, target.url, "post", dialect, vertical, f"{prefix}post")
        if speech.answer is None:
            return Spoken(request, None, None, dialect.secrets)
        at = f"{prefix}post.answer"
        if not speech.answer.outcomes:
            raise DialectFault(f"{at}.outcomes", "is missing: says when a lead is taken")
        listener = _listener(speech.answer, at)
        return Spoken(request, speech.answer, listener, dialect.secrets)

    def compile_mail(
        self, target: DeliveryTarget, vertical: Vertical | None
    ) -> tuple[Letter, dict[str, str]]:
        """Compile without keeping, checked against a vertical if one is given."""
        dialect, prefix = self._of(target.dialect, target.preset, _OWN_MAIL)
        if dialect.mail is None:
            raise DialectFault(f"{prefix}mail", "is missing")
        allowed = Allowed("post", vertical, frozenset(dialect.secrets))
        try:
            return Letter(dialect.mail, allowed), dialect.secrets
        except MappingFault as fault:
            raise DialectFault(f"{prefix}mail.{fault.path}", fault.message) from None

    def _of(
        self, dialect: Dialect | None, preset: PresetUse | None, own: Dialect
    ) -> tuple[Dialect, str]:
        """The dialect that holds, and where its places stand."""
        if dialect is not None:
            return self.written(dialect), "dialect."
        if preset is not None:
            return self.written(preset), "preset."
        return own, ""


def _with_own_outcomes(reading: Reading, at: str) -> Reading:
    """The usual outcomes of a bid where only its price is described."""
    if reading.price is None:
        raise DialectFault(f"{at}.price", "is missing")
    _listener(reading, at)  # else a fault would name a rule nobody wrote
    return replace(
        reading,
        outcomes=(
            Rule(when=Test(status=204), then="rejected"),
            Rule(when=Test(status="200-299", path=reading.price, exists=True), then="accepted"),
        ),
    )


def _request(
    speech: Speech,
    url: str | None,
    side: Side,
    dialect: Dialect,
    vertical: Vertical | None,
    at: str,
) -> Request:
    allowed = Allowed(side, vertical, frozenset(dialect.secrets))
    try:
        return Request(speech, url, allowed)
    except MappingFault as fault:
        where = "url" if fault.path == "url" and speech.url is None else f"{at}.{fault.path}"
        raise DialectFault(where, fault.message) from None


def _listener(reading: Reading, at: str) -> Listener:
    try:
        return Listener(reading)
    except MappingFault as fault:
        raise DialectFault(f"{at}.{fault.path}", fault.message) from None
