"""The sections: every key there is, with its type, bounds or reader, meaning and default.

The single table of what may be set: the file's comments, the list for ``--help`` and the checks all
come from it. Must not know where values come from, nor what they are used for.
The market's numbers come from the rules (rules: the whole of it, defaults §4 to §8).
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from msgspec import Meta, Struct

from exchange.core.dynamic import DynamicPolicy
from exchange.core.model import Policy
from exchange.core.returning import ReturnPolicy

PACKAGED_CONFIG: Final = Path(__file__).resolve().parents[2] / "config"
"""The config directory beside the package, wherever the exchange is started from."""

# One line per key: its type, bounds or reader, meaning and default.


def _whole(least: int, most: int, meaning: str) -> Meta:
    return Meta(ge=least, le=most, description=meaning)


def _read_as(reader: str, meaning: str, env: str | None = None) -> Meta:
    """A value with a reader of its own (`READERS`), and perhaps a short environment name."""
    return Meta(description=meaning, extra={"as": reader, "env": env})


class MarketSettings(Struct, frozen=True, kw_only=True):
    """The market's policy in people's units, as the file has it; `Policy` is what is used."""

    take_rate_pct: Annotated[
        Decimal, _read_as("percent", "The operator's margin, in percent of what a company pays")
    ] = Decimal("15")
    rectify: Annotated[
        Literal["rank_and_charge", "rank_only"],
        Meta(description="Whether the rectified price ranks and is charged, or only ranks"),
    ] = "rank_and_charge"
    unclear: Annotated[
        Literal["hold", "resell"],
        Meta(description="What becomes of an exclusive lead whose delivery stays unclear"),
    ] = "hold"
    window_days: Annotated[int, _whole(1, 365, "Days a lead counts in rates, today included")] = 30
    half_life_days: Annotated[
        int, _whole(0, 3_650, "Age in days at which a day weighs half in a rate; 0 is off")
    ] = 0
    crm_threshold_pct: Annotated[
        Decimal, _read_as("percent", "CRM rejection rate above which a company is excluded")
    ] = Decimal("10")
    conditional_overall_pct: Annotated[
        Decimal, _read_as("percent", "Overall rejection rate from which a company is conditional")
    ] = Decimal("5")
    protection: Annotated[
        Decimal, _read_as("dollars", "Dollars assigned before a company's CRM rejections count")
    ] = Decimal("5000.00")
    reset_interval_days: Annotated[int, _whole(0, 365, "Days between a company's CRM resets")] = 30
    rejection_window_hours: Annotated[
        int, _whole(24, 720, "Hours after delivery in which a lead can be rejected")
    ] = 48
    max_ranks: Annotated[int, _whole(1, 100, "Companies kept in line for a lead")] = 5
    market_timezone: Annotated[str, _read_as("timezone", "Timezone of the market's day")] = "UTC"


class DynamicSettings(Struct, frozen=True, kw_only=True):
    """Whether threshold and penalty move with the market; `DynamicPolicy` is what is used."""

    mode: Annotated[
        Literal["off", "shadow", "apply"],
        Meta(description="Whether factors are computed: never, only to be shown, or to be used"),
    ] = "off"
    market_max_pct: Annotated[
        Decimal, _read_as("percent", "The most the market's rate moves the CRM threshold by")
    ] = Decimal("10")
    seasonal_max_pct: Annotated[
        Decimal, _read_as("percent", "The most the season moves the CRM threshold by")
    ] = Decimal("10")
    trend_max_pct: Annotated[
        Decimal, _read_as("percent", "The most of its penalty an improving company is let off")
    ] = Decimal("25")
    least_assigned: Annotated[
        Decimal, _read_as("dollars", "Dollars assigned in a span below which it says nothing")
    ] = Decimal("1000.00")


class HttpSettings(Struct, frozen=True, kw_only=True):
    """Where and how the exchange listens."""

    host: Annotated[str, _read_as("host", "The address listened on")] = "127.0.0.1"
    port: Annotated[int, _whole(0, 65_535, "The port listened on; 0 takes a free one")] = 8080
    workers: Annotated[int, _whole(1, 256, "Processes that share the port")] = 1
    max_body_bytes: Annotated[int, _whole(1_024, 2**24, "The largest request body taken")] = 65_536
    drain_s: Annotated[int, _whole(1, 60, "Seconds that open requests get when stopping")] = 7


class PingSettings(Struct, frozen=True, kw_only=True):
    """What a ping may ask for, and how old or how new its lead may be."""

    default_timeout_ms: Annotated[int, _whole(10, 60_000, "Time of a ping that names none")] = 500
    max_timeout_ms: Annotated[int, _whole(10, 60_000, "The most time a ping may ask for")] = 5_000
    max_buyers: Annotated[int, _whole(1, 20, "The most companies a ping may ask for")] = 5
    clock_skew_s: Annotated[
        int, _whole(0, 86_400, "Seconds in the future a lead may seem to be captured")
    ] = 300
    implausible_age_days: Annotated[
        int, _whole(1, 36_500, "Age from which a capture time is taken for an error")
    ] = 365
    duplicate_window_days_market: Annotated[
        int, _whole(0, 365, "Days a contact is a duplicate whoever sent it; 0 is off")
    ] = 30
    duplicate_window_days_seller: Annotated[
        int, _whole(0, 365, "Days a contact is a duplicate of the same seller's; 0 is off")
    ] = 30
    duplicate_window_days_company: Annotated[
        int, _whole(0, 366, "Days a company is not sold a contact it bought; 0 is off")
    ] = 366
    duplicate_window_s_pinged: Annotated[
        int, _whole(0, 86_400, "Seconds a contact pinged again by its seller is refused; 0 is off")
    ] = 0
    max_inflight: Annotated[int, _whole(1, 100_000, "Pings a worker takes at once")] = 500
    max_asking: Annotated[
        int, _whole(1, 100_000, "Pings of a worker that may wait for companies' bidders at once")
    ] = 5_000


class QualitySettings(Struct, frozen=True, kw_only=True):
    """What is refused for the quality of a lead itself; verticals may refuse more."""

    refuse: Annotated[
        tuple[str, ...] | None,
        _read_as("checks", "Checks that refuse a lead, apart by commas; others lower its score"),
    ] = None
    refuse_score_below: Annotated[
        int, _whole(0, 100, "Quality score below which a lead is refused; 0 refuses none")
    ] = 0
    pings_per_source_minute: Annotated[
        int, _whole(0, 1_000_000, "Pings of one source a minute that raise no flaw; 0 is off")
    ] = 0
    pings_per_contact_hour: Annotated[
        int, _whole(0, 1_000_000, "Pings of one contact an hour that raise no flaw; 0 is off")
    ] = 0
    phones_per_name_hour: Annotated[
        int, _whole(0, 60, "Phones posted with one name an hour that raise no flaw; 0 is off")
    ] = 20
    phones_per_address_hour: Annotated[
        int, _whole(0, 60, "Phones posted with one address an hour that raise no flaw; 0 is off")
    ] = 4
    disposable_domains_file: Annotated[
        tuple[str, ...] | None,
        _read_as("domains_file", "A file of more domains of throw-away mail, one a line"),
    ] = None


class SuppressionSettings(Struct, frozen=True, kw_only=True):
    """How long companies' lists of contacts they do not want may be."""

    max_upload_bytes: Annotated[
        int, _whole(1_024, 2**34, "The largest upload of a suppression list")
    ] = 268_435_456
    max_contacts: Annotated[
        int, _whole(1, 1_000_000_000, "Contacts on a company's suppression list")
    ] = 10_000_000


class PostSettings(Struct, frozen=True, kw_only=True):
    """How long a post may take, and how long a late one is understood."""

    limit_s: Annotated[int, _whole(1, 600, "Seconds after which a lead is timed out")] = 30
    max_inflight: Annotated[int, _whole(1, 100_000, "Posts a worker takes at once")] = 1_000
    grace_s: Annotated[int, _whole(0, 604_800, "Seconds an expired offer is still known")] = 86_400


class ReturnSettings(Struct, frozen=True, kw_only=True):
    """How returns of leads are reviewed and disputed."""

    review: Annotated[
        Literal["asked", "unclear", "all"],
        Meta(description="Returns reviewed: contracts' and those asked for, unclear texts, all"),
    ] = "asked"
    review_hours: Annotated[
        int, _whole(1, 720, "Hours after which a return nobody reviewed is decided by itself")
    ] = 72
    dispute_days: Annotated[
        int, _whole(1, 90, "Days in which a seller may dispute an accepted return")
    ] = 7
    bulk_lines: Annotated[int, _whole(1, 1_000_000, "The most lines of one bulk return")] = 10_000
    bulk_max_bytes: Annotated[int, _whole(1_024, 2**28, "The largest body of a bulk return")] = (
        4_194_304
    )

    @property
    def policy(self) -> ReturnPolicy:
        """The policy these make."""
        return ReturnPolicy(
            review=self.review,
            review_s=self.review_hours * 3600,
            dispute_s=self.dispute_days * 86_400,
        )


class DeliverySettings(Struct, frozen=True, kw_only=True):
    """How leads are handed to companies' systems."""

    backoff_ms: Annotated[int, _whole(0, 10_000, "Pause before a second attempt")] = 100
    max_answer_bytes: Annotated[int, _whole(1_024, 2**24, "The longest answer read")] = 65_536
    allow_private_addresses: Annotated[
        bool,
        Meta(
            description="Whether companies' systems may be at private or local addresses",
            extra={"env": "EXCHANGE_ALLOW_PRIVATE_ADDRESSES"},
        ),
    ] = False


class BiddingSettings(Struct, frozen=True, kw_only=True):
    """How companies' own bidders are asked."""

    network_ms: Annotated[int, _whole(0, 1_000, "Time kept for the way to a bidder and back")] = 5
    closing_ms: Annotated[
        int, _whole(0, 1_000, "Time kept for the auction behind the last bid")
    ] = 5
    least_ms: Annotated[
        int, _whole(1, 10_000, "Time below which a bidder is not asked any more")
    ] = 20
    connect_ms: Annotated[int, _whole(10, 60_000, "The longest try to connect to a bidder")] = 1_000
    max_connections: Annotated[
        int, _whole(1, 100_000, "Connections of each worker to all bidders")
    ] = 1_024
    max_connections_per_bidder: Annotated[
        int, _whole(1, 10_000, "Connections of each worker to one bidder")
    ] = 32
    max_waiting_per_bidder: Annotated[
        int, _whole(1, 100_000, "Pings that wait for a connection to one bidder")
    ] = 256
    max_stream_pings: Annotated[
        int, _whole(1, 1_000_000, "Pings without an answer yet on one bid stream")
    ] = 4_096
    max_answer_bytes: Annotated[int, _whole(256, 2**20, "The longest bid read")] = 65_536


class EmailSettings(Struct, frozen=True, kw_only=True):
    """The relay that mails leads go out through; without one there is no delivery by mail."""

    relay_url: Annotated[
        str | None,
        _read_as(
            "relay_url",
            "The mail relay, with user and password; empty is none",
            "EXCHANGE_SMTP_URL",
        ),
    ] = None
    security: Annotated[
        Literal["starttls", "opportunistic", "none"],
        Meta(description="TLS on an smtp:// relay: demanded, if it is offered, or never"),
    ] = "starttls"
    from_address: Annotated[
        str | None, _read_as("email", "The address mails are from; needed with a relay")
    ] = None

    def __repr__(self) -> str:
        return f"EmailSettings({', '.join(f'{n}={v!r}' for n, v in self.__rich_repr__())})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [
            ("relay_url", _without_password(self.relay_url)),
            ("security", self.security),
            ("from_address", self.from_address),
        ]


class AlertsSettings(Struct, frozen=True, kw_only=True):
    """What is alerted to where nobody has set otherwise, and how notices are sent."""

    every_s: Annotated[
        int, _whole(0, 3_600, "Seconds between two looks for something to alert to; 0 is never")
    ] = 60
    near_pct: Annotated[
        int, _whole(50, 99, "Part of a rate's threshold, in percent, from which it is near")
    ] = 80
    cap_pct: Annotated[
        int, _whole(50, 99, "Part of a cap, in percent, from which it is nearly used")
    ] = 80
    balance_low: Annotated[
        Decimal, _read_as("dollars", "Dollars below which a prepaid balance is low")
    ] = Decimal("100.00")
    crm_rejections: Annotated[
        int, _whole(1, 10_000, "CRM rejections of a campaign within an hour that are told")
    ] = 1
    bidder_error_pct: Annotated[
        int, _whole(1, 100, "Part of a bidder's answers, in percent, that may be of no use")
    ] = 50
    reminder_hours: Annotated[int, _whole(1, 720, "Hours between two reminders of an alert")] = 24
    attempts: Annotated[int, _whole(1, 50, "How often a notice is tried before it is given up")] = (
        12
    )
    keep_days: Annotated[int, _whole(1, 3_650, "Days an alert is kept once it is over")] = 90
    report_s: Annotated[
        int, _whole(1, 60, "Seconds between two reports of a worker on companies' bidders")
    ] = 5


class ConnectionTestSettings(Struct, frozen=True, kw_only=True):
    """How companies' systems are tested, with leads that say so, before they cost a sale."""

    every_min: Annotated[
        int, _whole(0, 1_440, "Minutes between two tests of a target; 0 tests on request only")
    ] = 15
    at_once: Annotated[int, _whole(1, 100, "Tests of each worker under way at once")] = 4
    failures: Annotated[
        int, _whole(1, 20, "Failures in a row after which a target is told to fail")
    ] = 3
    recoveries: Annotated[
        int, _whole(1, 20, "Successes in a row after which it is told to work again")
    ] = 2
    keep_days: Annotated[int, _whole(1, 365, "Days the results of tests are kept")] = 30


class StoreSettings(Struct, frozen=True, kw_only=True):
    """Where the exchange remembers. A URL that is None means the embedded server."""

    postgres_url: Annotated[
        str | None,
        _read_as("postgres_url", "PostgreSQL; empty is an embedded one", "EXCHANGE_POSTGRES_URL"),
    ] = None
    redis_url: Annotated[
        str | None,
        _read_as("redis_url", "Redis or Valkey; empty is an embedded one", "EXCHANGE_REDIS_URL"),
    ] = None
    home: Annotated[
        Path, _read_as("path", "The directory of the exchange's own files", "EXCHANGE_HOME")
    ] = Path("~/.local/share/exchange")
    postgres_pool: Annotated[int, _whole(1, 200, "PostgreSQL connections of each worker")] = 8
    receipt_days: Annotated[int, _whole(1, 3_650, "Days a receipt is kept")] = 90

    def __repr__(self) -> str:
        return f"StoreSettings({', '.join(f'{n}={v!r}' for n, v in self.__rich_repr__())})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [
            ("postgres_url", _without_password(self.postgres_url)),
            ("redis_url", _without_password(self.redis_url)),
            ("home", self.home),
            ("postgres_pool", self.postgres_pool),
            ("receipt_days", self.receipt_days),
        ]


def _without_password(url: str | None) -> str | None:
    if url is None:
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        return "hidden"
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


class LogSettings(Struct, frozen=True, kw_only=True):
    """What is logged, and in which form."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="The least that is logged")
    ] = "info"
    format: Annotated[
        Literal["json", "console"], Meta(description="Lines for machines or for people")
    ] = "json"


class _Hidden(Struct, frozen=True, kw_only=True):
    """A struct whose values never show."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(hidden)"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("values", "hidden")]


class ContactKey(_Hidden, frozen=True, kw_only=True):
    """A key of 32 bytes for contact data; its id, 1 to 255, is stored with the data."""

    key_id: int
    key: bytes


class GivenSecrets(_Hidden, frozen=True, kw_only=True):
    """The secrets the environment gives; `load_or_make_secrets` completes them."""

    operator_key: Annotated[
        str | None, _read_as("operator_key", "The first operator key", "EXCHANGE_OPERATOR_KEY")
    ] = None
    contact_keys: Annotated[
        tuple[ContactKey, ...] | None,
        _read_as("contact_keys", "The first encrypts, all decrypt", "EXCHANGE_CONTACT_KEYS"),
    ] = None
    hash_key: Annotated[
        bytes | None, _read_as("hash_key", "Key of the contacts' hashes", "EXCHANGE_HASH_KEY")
    ] = None
    draw_key: Annotated[
        bytes | None, _read_as("draw_key", "Key of the draw among ties", "EXCHANGE_DRAW_KEY")
    ] = None


class Secrets(_Hidden, frozen=True, kw_only=True):
    """Every secret the exchange works with; the first of ``contact_keys`` encrypts."""

    operator_key: str
    contact_keys: tuple[ContactKey, ...]
    hash_key: bytes
    draw_key: bytes


class Settings(Struct, frozen=True, kw_only=True):
    """All settings. ``config`` is the file that was read, ``verticals`` the directory of theirs."""

    market: Policy = Policy()
    dynamic: DynamicPolicy = DynamicPolicy()
    http: HttpSettings = HttpSettings()
    ping: PingSettings = PingSettings()
    quality: QualitySettings = QualitySettings()
    suppression: SuppressionSettings = SuppressionSettings()
    post: PostSettings = PostSettings()
    returns: ReturnSettings = ReturnSettings()
    delivery: DeliverySettings = DeliverySettings()
    bidding: BiddingSettings = BiddingSettings()
    email: EmailSettings = EmailSettings()
    alerts: AlertsSettings = AlertsSettings()
    connection_tests: ConnectionTestSettings = ConnectionTestSettings()
    stores: StoreSettings = StoreSettings()
    secrets: GivenSecrets = GivenSecrets()
    log: LogSettings = LogSettings()
    config: Path | None = None
    verticals: Path = PACKAGED_CONFIG / "verticals"
