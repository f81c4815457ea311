"""Settings: the config file and the environment, read once into frozen structs.

Decides what may be set, within which bounds, and reports every fault at once. What may be set is in
`sections`, one line a key. Must not know what the settings are used for.
The market's numbers come from the rules (rules: the whole of it, defaults §4 to §8).
"""

from exchange.settings.faults import Fault, SettingsError
from exchange.settings.reading import read_settings
from exchange.settings.secrets import SECRETS_FILE, load_or_make_secrets
from exchange.settings.sections import (
    PACKAGED_CONFIG,
    AlertsSettings,
    BiddingSettings,
    ConnectionTestSettings,
    ContactKey,
    DeliverySettings,
    DynamicSettings,
    EmailSettings,
    GivenSecrets,
    HttpSettings,
    LogSettings,
    MarketSettings,
    PingSettings,
    PostSettings,
    QualitySettings,
    Secrets,
    Settings,
    StoreSettings,
)
from exchange.settings.table import SETTINGS, Setting, describe_settings

__all__ = [
    "PACKAGED_CONFIG",
    "SECRETS_FILE",
    "SETTINGS",
    "AlertsSettings",
    "BiddingSettings",
    "ConnectionTestSettings",
    "ContactKey",
    "DeliverySettings",
    "DynamicSettings",
    "EmailSettings",
    "Fault",
    "GivenSecrets",
    "HttpSettings",
    "LogSettings",
    "MarketSettings",
    "PingSettings",
    "PostSettings",
    "QualitySettings",
    "Secrets",
    "Setting",
    "Settings",
    "SettingsError",
    "StoreSettings",
    "describe_settings",
    "load_or_make_secrets",
    "read_settings",
]
