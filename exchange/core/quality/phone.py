"""Whether a phone number can be a person's: what the North American plan says of it.

From the plan alone: an area code in use, an exchange that can be given out, the numbers kept for
fiction, what is toll-free, premium or of no place. Whether a number is wireless, and whether it is
in service, is not in the plan: numbers are ported between carriers and kinds of line, and only a
carrier's directory knows.
"""

from __future__ import annotations

from exchange.core.quality.area_codes import (
    ABROAD,
    PERSONAL,
    PREMIUM,
    STATE_OF_AREA,
    TOLL_FREE,
)
from exchange.core.quality.flaws import Flaw, flaw


def phone_flaws(phone: str, states: frozenset[str]) -> list[Flaw]:
    """What is wrong with a phone number.

    ``phone`` is E.164 (a text without country code is taken for a North American number),
    ``states`` where the lead says it is; empty where it does not say.
    """
    if phone.startswith("+") and not phone.startswith("+1"):
        return [flaw("phone_abroad", "The phone number is not of the North American plan.")]
    digits = "".join(char for char in phone if char.isascii() and char.isdigit())
    national = digits[1:] if len(digits) == 11 and digits[0] == "1" else digits
    if len(national) != 10:
        return [flaw("phone_invalid", "The phone number does not have ten digits.")]
    area, exchange, line = national[:3], national[3:6], national[6:]
    if area in TOLL_FREE:
        return [flaw("phone_service", f"Area code {area} is toll-free.")]
    if area in PREMIUM:
        return [flaw("phone_service", f"Area code {area} is premium: the caller pays.")]
    if area in PERSONAL:
        return [flaw("phone_service", f"Area code {area} is of no place.")]
    if exchange[0] in "01" or exchange[1:] == "11":
        return [flaw("phone_invalid", f"No numbers are given out under exchange {exchange}.")]
    if exchange == "555" and line.startswith("01"):
        return [flaw("phone_fictitious", "Numbers from 555-0100 to 555-0199 are kept for fiction.")]
    if area in ABROAD:
        return [flaw("phone_abroad", f"Area code {area} is outside the states.")]
    state = STATE_OF_AREA.get(area)
    if state is None:
        return [flaw("phone_invalid", f"Area code {area} is not in use.")]
    if states and state not in states:
        return [flaw("phone_area", f"Area code {area} is of {state}, the lead is not.")]
    return []
