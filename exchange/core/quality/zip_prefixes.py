"""Which states the first three digits of a ZIP code belong to, and which hours states keep.

Facts, as of November 2026: the prefixes are those of the ZIP codes the Postal Service delivers to,
the timezones those in force in each state's counties. A prefix that serves several states stands
with each. Military and diplomatic mail, and territories that are no state here, have prefixes
without a state.
"""

from __future__ import annotations

from typing import Final

_PREFIXES: Final = """
AL 350-352 354-369
AK 995-999
AZ 850-853 855-857 859-860 863-865
AR 716-729
CA 900-908 910-928 930-961
CO 800-816
CT 060-069
DE 197-199
DC 200 202-205 569 888
FL 320-339 341-342 344 346-347 349
GA 300-319 398-399
HI 967-968
ID 832-838
IL 600-620 622-629
IN 460-479
IA 500-516 520-528
KS 660-662 664-679
KY 400-418 420-427
LA 700-701 703-708 710-714
ME 039-049
MD 205-212 214-219
MA 010-027 055
MI 480-499
MN 550-551 553-567
MS 386-397
MO 630-631 633-641 644-658 726
MT 590-599
NE 680-681 683-693
NV 889-891 893-895 897-898
NH 030-038
NJ 070-089
NM 870-871 873-884
NY 005 063 100-149
NC 270-289
ND 580-588
OH 430-459
OK 730-731 734-741 743-749
OR 970-979
PA 150-196
RI 028-029
SC 290-299
SD 570-577
TN 370-385
TX 733 739 750-770 772-799 885
UT 840-847
VT 050-054 056-059
VA 201 205 220-246
WA 980-986 988-994
WV 247-268
WI 530-532 534-535 537-549
WY 820-831 834
PR 006-007 009
"""

_STATELESS: Final = "008 090-099 340 962-966 969"

_TIMEZONES: Final = """
AK America/Anchorage America/Juneau America/Sitka America/Metlakatla America/Yakutat America/Nome
   America/Adak US/Alaska US/Aleutian
AZ America/Phoenix America/Denver US/Arizona US/Mountain
HI Pacific/Honolulu US/Hawaii
PR America/Puerto_Rico
"""

_EASTERN: Final = """
CT DE DC FL GA IN KY ME MD MA MI NH NJ NY NC OH PA RI SC TN VT VA WV
"""
_CENTRAL: Final = "AL AR FL IL IN IA KS KY LA MI MN MS MO NE ND OK SD TN TX WI"
_MOUNTAIN: Final = "CO ID KS MT NE NV NM ND OR SD TX UT WY"
_PACIFIC: Final = "CA ID NV OR WA"

_EASTERN_ZONES: Final = """
America/New_York America/Detroit America/Kentucky/Louisville America/Kentucky/Monticello
America/Indiana/Indianapolis America/Indiana/Vincennes America/Indiana/Winamac
America/Indiana/Marengo America/Indiana/Petersburg America/Indiana/Vevay America/Indianapolis
America/Fort_Wayne America/Louisville US/Eastern US/Michigan US/East-Indiana EST5EDT
"""
_CENTRAL_ZONES: Final = """
America/Chicago America/Menominee America/Indiana/Knox America/Indiana/Tell_City
America/North_Dakota/Center America/North_Dakota/New_Salem America/North_Dakota/Beulah
US/Central US/Indiana-Starke CST6CDT
"""
_MOUNTAIN_ZONES: Final = "America/Denver America/Boise America/Shiprock US/Mountain MST7MDT"
_PACIFIC_ZONES: Final = "America/Los_Angeles US/Pacific PST8PDT"


def _rows(text: str) -> dict[str, list[str]]:
    """A table of rows that begin with a state; a row that begins with blanks goes on."""
    rows: dict[str, list[str]] = {}
    state = ""
    for line in text.strip().splitlines():
        words = line.split()
        if not line.startswith(" "):
            state, words = words[0], words[1:]
        rows.setdefault(state, []).extend(words)
    return rows


def _spread(spans: list[str]) -> list[str]:
    """Prefixes of three digits, spans such as 010-027 written out."""
    found = []
    for span in spans:
        first, _, last = span.partition("-")
        found += [f"{n:03d}" for n in range(int(first), int(last or first) + 1)]
    return found


def _states_of_prefixes() -> dict[str, frozenset[str]]:
    states: dict[str, set[str]] = {prefix: set() for prefix in _spread(_STATELESS.split())}
    for state, spans in _rows(_PREFIXES).items():
        for prefix in _spread(spans):
            states.setdefault(prefix, set()).add(state)
    return {prefix: frozenset(found) for prefix, found in states.items()}


def _zones_of_states() -> dict[str, frozenset[str]]:
    zones = {state: set(names) for state, names in _rows(_TIMEZONES).items()}
    for states, names in (
        (_EASTERN, _EASTERN_ZONES),
        (_CENTRAL, _CENTRAL_ZONES),
        (_MOUNTAIN, _MOUNTAIN_ZONES),
        (_PACIFIC, _PACIFIC_ZONES),
    ):
        for state in states.split():
            zones.setdefault(state, set()).update(names.split())
    return {state: frozenset(names) for state, names in zones.items()}


STATES_OF_PREFIX: Final = _states_of_prefixes()
"""The states of each prefix of a ZIP code that is in use; none for those of no state."""

ZONES_OF_STATE: Final = _zones_of_states()
"""The IANA timezones clocks of a state may be set to."""
