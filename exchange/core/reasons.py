"""Every reason the exchange gives, with its permanent number, category and sentence.

A number never changes its meaning and is never used again. The hundreds are the groups:
1 ping refused or without offer, 2 campaign did not bid, 3 bid lost, 4 post refused or unsold,
5 rejection, 6 rejection or reset refused. Source: rules §3 and §8.
"""

from __future__ import annotations

from enum import IntEnum
from functools import cached_property
from typing import Final


class Reason(IntEnum):
    """One reason; ``code`` is what the wire says, ``message`` what a person reads."""

    SELLER_INACTIVE = 101
    UNKNOWN_VERTICAL = 102
    INVALID_ATTRIBUTES = 103
    CONTACT_IN_CLEAR = 104
    LEAD_TOO_OLD = 105
    CONSENT_MISSING = 106
    DUPLICATE = 107
    BLOCKED = 108
    CLOCK_OFF = 109
    REPEATED_PING = 110
    PLACE_MISMATCH = 115
    IMPOSSIBLE_LEAD = 116
    LOW_QUALITY = 117
    SOURCE_TOO_FAST = 118
    CONTACT_REPEATED = 119
    CONSENT_INCOMPLETE = 120
    CONSENT_CERTIFICATE = 121
    CONSENT_TIME = 122
    CONSENT_TOO_OLD = 123
    CONSENT_TEXT = 124
    NO_BID = 150

    INACTIVE = 201
    FILTER = 202
    SCHEDULE = 203
    CAP = 204
    BUDGET = 205
    BALANCE = 206
    LEAD_AGE = 207
    SUPPRESSED = 208
    SOLD_BEFORE = 209
    SHARE_MODE = 210
    CONTRACT = 211
    CRM_GATE = 220
    BIDDER_DECLINED = 230
    BIDDER_TIMEOUT = 231
    BIDDER_CONNECTION = 232
    BIDDER_ERROR = 233
    BID_UNREADABLE = 234
    BID_TOO_LARGE = 235
    BID_CURRENCY = 236
    BID_PRICE = 237
    BID_AUCTION = 238
    BIDDER_RESTING = 239
    BIDDER_BUSY = 240
    BIDDER_SIMULATED = 241
    BIDDER_NO_TIME = 242
    SCORE_BELOW = 265
    PLACE_DEMANDED = 266
    CONSENT_DEMANDED = 267
    LEAD_TYPE = 275
    LOW_SCORE = 276
    TRIAL_NOT_BEGUN = 277
    TRIAL_OVER = 278
    TRIAL_FULL = 279

    OUTBID = 301
    BELOW_MIN_PRICE = 302
    BELOW_FLOOR = 303
    SAME_COMPANY = 304
    FIRST_LOOK = 305
    SHARE_COUNT = 306

    OFFER_EXPIRED = 401
    OFFER_UNKNOWN = 402
    POSTED_BEFORE = 403
    ATTRIBUTE_CHANGED = 404
    CONTACT_MISMATCH = 405
    NO_BUYER_LEFT = 410
    COMPANY_REFUSED = 411
    DELIVERY_FAILED = 412
    DELIVERY_UNCLEAR = 413
    PROCESSING_LIMIT = 414
    UNREADABLE_LEAD = 415
    CONTACT_SOLD = 416
    CONTACT_CLAIMED = 417
    PHONE_INVALID = 420
    PHONE_FICTITIOUS = 421
    PHONE_SERVICE = 422
    PHONE_ABROAD = 423
    PHONE_AREA = 424
    EMAIL_UNDELIVERABLE = 425
    EMAIL_DISPOSABLE = 426
    EMAIL_ROLE = 427
    NAME_PLACEHOLDER = 428
    NAME_REPEATED = 429
    ADDRESS_REPEATED = 430
    ADDRESS_MISMATCH = 431
    CONTACT_SCORE = 432
    PHONE_MISSING = 433
    EMAIL_MISSING = 434
    REFUSAL_NOT_ALLOWED = 440

    INVALID_CONTACT = 501
    DUPLICATE_LEAD = 502
    INCOMPLETE_DETAILS = 503
    OUTSIDE_SERVICE_AREA = 504
    BUDGET_BELOW_MINIMUM = 505
    CRM_TIMEOUT = 511
    AUTH_FAILURE = 512
    DATA_FORMAT = 513
    CONNECTIVITY = 514
    RATE_LIMITED = 515
    CAPACITY_REACHED = 521
    OFF_HOURS = 522
    GEO_RESTRICTED = 523
    INDUSTRY_EXCLUDED = 524
    SEASONAL = 525

    WINDOW_CLOSED = 601
    REASON_NOT_ALLOWED = 602
    REASON_UNCLEAR = 603
    TEST_LEAD = 604
    RETURNS_EXCLUDED = 605
    RETURN_COUNT_REACHED = 606
    RETURN_SHARE_REACHED = 607
    RESET_TOO_EARLY = 611
    RESET_TOO_SOON = 612
    RETURN_DECLINED = 620
    RETURN_REVERSED = 621
    RETURN_UNDECIDED = 622
    DISPUTE_TOO_LATE = 623
    DECIDED_OTHERWISE = 624
    DISPUTED_OTHERWISE = 625

    @cached_property
    def code(self) -> str:
        """The name on the wire, lower case; permanent like the number."""
        return _CODES.get(self, self.name.lower())

    @cached_property
    def message(self) -> str:
        """One sentence for a person."""
        return _MESSAGES[self]

    @cached_property
    def category(self) -> str:
        """The rejection category of rules §8 where the reason has one, else its group."""
        return _CATEGORIES.get(self) or _GROUPS[self // 100]


_GROUPS: Final = {
    1: "ping_refused",
    2: "no_bid",
    3: "bid_lost",
    4: "post_refused",
    5: "rejection",
    6: "rejection_refused",
}

_CODES: Final = {Reason.DUPLICATE_LEAD: "duplicate"}

_QUALITY: Final = (
    Reason.INVALID_CONTACT,
    Reason.DUPLICATE_LEAD,
    Reason.INCOMPLETE_DETAILS,
    Reason.OUTSIDE_SERVICE_AREA,
    Reason.BUDGET_BELOW_MINIMUM,
)
_TECHNICAL: Final = (
    Reason.CRM_TIMEOUT,
    Reason.AUTH_FAILURE,
    Reason.DATA_FORMAT,
    Reason.CONNECTIVITY,
    Reason.RATE_LIMITED,
)
_BUSINESS: Final = (
    Reason.CAPACITY_REACHED,
    Reason.OFF_HOURS,
    Reason.GEO_RESTRICTED,
    Reason.INDUSTRY_EXCLUDED,
    Reason.SEASONAL,
)

PING_QUALITY_REASONS: Final = tuple(
    reason for reason in Reason if Reason.PLACE_MISMATCH <= reason <= Reason.CONSENT_TEXT
)
"""Why a ping is refused for what is wrong with the lead itself, or with its consent."""

CONTACT_REASONS: Final = tuple(
    reason for reason in Reason if Reason.PHONE_INVALID <= reason <= Reason.EMAIL_MISSING
)
"""Why a posted contact is refused, or is not what a company demands."""

_CATEGORIES: Final = {
    Reason.DUPLICATE: "quality",
    **dict.fromkeys(PING_QUALITY_REASONS, "quality"),
    **dict.fromkeys(CONTACT_REASONS, "quality"),
    **dict.fromkeys(_QUALITY, "quality"),
    **dict.fromkeys(_TECHNICAL, "technical"),
    **dict.fromkeys(_BUSINESS, "business"),
}

REJECTION_REASONS: Final[dict[str, Reason]] = {
    reason.code: reason for reason in (*_QUALITY, *_TECHNICAL, *_BUSINESS)
}
"""What a lead may be rejected for, by its code on the wire (rules §8)."""

BIDDER_REASONS: Final = tuple(
    reason for reason in Reason if Reason.BIDDER_DECLINED <= reason <= Reason.BIDDER_NO_TIME
)
"""Why a company's own bidder made no bid that counts."""

_MESSAGES: Final = {
    Reason.SELLER_INACTIVE: "This seller's account is not active.",
    Reason.UNKNOWN_VERTICAL: "The exchange does not trade this vertical.",
    Reason.INVALID_ATTRIBUTES: "The lead's attributes are not valid for this vertical.",
    Reason.CONTACT_IN_CLEAR: "A ping must be anonymous; contact data belongs in the post.",
    Reason.LEAD_TOO_OLD: "The lead was captured too long ago.",
    Reason.CONSENT_MISSING: "This vertical demands proof of the consumer's consent.",
    Reason.DUPLICATE: "A lead with this contact was sold here recently.",
    Reason.BLOCKED: "This source is blocked.",
    Reason.CLOCK_OFF: "The capture time is in the future or implausibly far back.",
    Reason.REPEATED_PING: "This seller pinged this contact moments ago.",
    Reason.PLACE_MISMATCH: "ZIP code, state, timezone and county do not belong together.",
    Reason.IMPOSSIBLE_LEAD: "What the lead says contradicts itself.",
    Reason.LOW_QUALITY: "The lead's quality score is below what the exchange takes.",
    Reason.SOURCE_TOO_FAST: "This source sends more leads than it can have.",
    Reason.CONTACT_REPEATED: "This contact is pinged again and again.",
    Reason.CONSENT_INCOMPLETE: "A part of the proof of consent this vertical demands is missing.",
    Reason.CONSENT_CERTIFICATE: "The consent's certificate is not an address this vertical takes.",
    Reason.CONSENT_TIME: "The time of consent cannot be read, or is in the future.",
    Reason.CONSENT_TOO_OLD: "The consent was given too long ago.",
    Reason.CONSENT_TEXT: "The text agreed to is not one this vertical takes.",
    Reason.NO_BID: "No campaign made an acceptable bid for this lead.",
    Reason.INACTIVE: "The campaign or its company is not active.",
    Reason.FILTER: "The lead does not match the campaign's filter.",
    Reason.SCHEDULE: "The campaign's schedule is closed at this time.",
    Reason.CAP: "The campaign's cap in leads is reached.",
    Reason.BUDGET: "The campaign's cap in money has no room for this price.",
    Reason.BALANCE: "The company's prepaid balance does not cover this price.",
    Reason.LEAD_AGE: "The lead is older than the campaign takes.",
    Reason.SUPPRESSED: "The contact is on the company's suppression list.",
    Reason.SOLD_BEFORE: "The contact was sold to this company before.",
    Reason.SHARE_MODE: "The campaign does not buy at a share count this ping allows.",
    Reason.CONTRACT: "No contract allows this seller and company to trade this lead.",
    Reason.CRM_GATE: "The company's CRM rejection rate is above the limit.",
    Reason.BIDDER_DECLINED: "The company's bidder chose not to bid.",
    Reason.BIDDER_TIMEOUT: "The company's bidder did not answer in time.",
    Reason.BIDDER_CONNECTION: "The company's bidder could not be reached, or hung up.",
    Reason.BIDDER_ERROR: "The company's bidder answered with an error status.",
    Reason.BID_UNREADABLE: "The company's bidder answered in a form that cannot be read.",
    Reason.BID_TOO_LARGE: "The company's bidder answered with more than is read.",
    Reason.BID_CURRENCY: "The bid is not in US dollars.",
    Reason.BID_PRICE: "The bid's price is not a positive amount in whole cents within bounds.",
    Reason.BID_AUCTION: "The bid names another auction than the one it answers.",
    Reason.BIDDER_RESTING: "The company's bidder failed too often and is asked only now and then.",
    Reason.BIDDER_BUSY: "The company's bidder is at its limit of requests.",
    Reason.BIDDER_SIMULATED: "The company's bidder is on trial: its bids are noted, not counted.",
    Reason.BIDDER_NO_TIME: "Too little time was left to ask the company's bidder.",
    Reason.SCORE_BELOW: "The lead's quality score is below what the campaign demands.",
    Reason.PLACE_DEMANDED: "The campaign demands that ZIP code and state belong together.",
    Reason.CONSENT_DEMANDED: "The lead lacks a proof of consent the campaign demands.",
    Reason.LEAD_TYPE: "The contract sells this company no leads at a share count this ping allows.",
    Reason.LOW_SCORE: "The lead's quality score is below every tier of the contract.",
    Reason.TRIAL_NOT_BEGUN: "The contract's trial has not begun.",
    Reason.TRIAL_OVER: "The contract's trial has ended and was not continued.",
    Reason.TRIAL_FULL: "The contract's trial has no room for more leads.",
    Reason.OUTBID: "A higher rectified price won.",
    Reason.BELOW_MIN_PRICE: "The price after the margin is below the seller's minimum.",
    Reason.BELOW_FLOOR: "The price is below the vertical's floor.",
    Reason.SAME_COMPANY: "Another campaign of the same company ranked higher.",
    Reason.FIRST_LOOK: "Premium leads are offered to qualified companies first.",
    Reason.SHARE_COUNT: "Another share count brought a higher total.",
    Reason.OFFER_EXPIRED: "The offer is past its expires_at; ping again.",
    Reason.OFFER_UNKNOWN: "No offer of this seller has this ping_id.",
    Reason.POSTED_BEFORE: "This ping was already posted with a different body.",
    Reason.ATTRIBUTE_CHANGED: "An attribute differs from what was pinged.",
    Reason.CONTACT_MISMATCH: "The contact does not match the hash given on ping.",
    Reason.NO_BUYER_LEFT: "No bidding company could take the lead at an acceptable price.",
    Reason.COMPANY_REFUSED: "The company refused the lead in real time.",
    Reason.DELIVERY_FAILED: "The lead could not be delivered to any bidding company.",
    Reason.DELIVERY_UNCLEAR: "A company may have received the lead but never answered.",
    Reason.PROCESSING_LIMIT: "The exchange's own processing limit passed.",
    Reason.UNREADABLE_LEAD: "The stored lead could not be read back.",
    Reason.CONTACT_SOLD: "Another lead with this contact was sold here recently.",
    Reason.CONTACT_CLAIMED: "Another lead with this contact is being sold right now.",
    Reason.PHONE_INVALID: "The phone number is not one that is given out.",
    Reason.PHONE_FICTITIOUS: "The phone number is one of those kept for fiction.",
    Reason.PHONE_SERVICE: "The phone number is toll-free, premium or of no place.",
    Reason.PHONE_ABROAD: "The phone number is not one of the states.",
    Reason.PHONE_AREA: "The phone's area code is of another state than the lead.",
    Reason.EMAIL_UNDELIVERABLE: "The email address is one no mail can be meant for.",
    Reason.EMAIL_DISPOSABLE: "The email address is of a service of throw-away mail.",
    Reason.EMAIL_ROLE: "The email address is a function's, not a person's.",
    Reason.NAME_PLACEHOLDER: "The name is what stands where no name is known.",
    Reason.NAME_REPEATED: "This name came with too many phone numbers.",
    Reason.ADDRESS_REPEATED: "This address came with too many phone numbers.",
    Reason.ADDRESS_MISMATCH: "The address is in another place than was pinged.",
    Reason.CONTACT_SCORE: "With its contact the lead's quality score is too low.",
    Reason.PHONE_MISSING: "The contact has no phone number, which the company demands.",
    Reason.EMAIL_MISSING: "The contact has no email address, which the company demands.",
    Reason.REFUSAL_NOT_ALLOWED: "The contract does not allow this real-time refusal reason.",
    Reason.INVALID_CONTACT: "The contact cannot be reached with the data given.",
    Reason.DUPLICATE_LEAD: "The company already had this lead.",
    Reason.INCOMPLETE_DETAILS: "Details the company needs are missing.",
    Reason.OUTSIDE_SERVICE_AREA: "The lead is outside the area the company serves.",
    Reason.BUDGET_BELOW_MINIMUM: "The lead's budget is below the company's minimum.",
    Reason.CRM_TIMEOUT: "The company's system did not answer in time.",
    Reason.AUTH_FAILURE: "The company's system refused the exchange's credentials.",
    Reason.DATA_FORMAT: "The company's system could not read the lead, or answered unreadably.",
    Reason.CONNECTIVITY: "The company's system could not be reached or failed.",
    Reason.RATE_LIMITED: "The company's system is limiting the rate of leads.",
    Reason.CAPACITY_REACHED: "The company has no capacity for more leads.",
    Reason.OFF_HOURS: "The lead came outside the company's hours.",
    Reason.GEO_RESTRICTED: "The company may not serve this area.",
    Reason.INDUSTRY_EXCLUDED: "The company excludes this industry.",
    Reason.SEASONAL: "The company does not buy in this season.",
    Reason.WINDOW_CLOSED: "The rejection window of this sale has closed.",
    Reason.REASON_NOT_ALLOWED: "The terms of this sale do not allow this rejection reason.",
    Reason.REASON_UNCLEAR: "The text fits no rejection reason clearly.",
    Reason.TEST_LEAD: "A test lead touches no money and cannot be rejected.",
    Reason.RETURNS_EXCLUDED: "The contract gives a discount in place of returns.",
    Reason.RETURN_COUNT_REACHED: "The contract's cap on returned leads is reached for this period.",
    Reason.RETURN_SHARE_REACHED: "This return would pass the contract's cap in percent of dollars.",
    Reason.RESET_TOO_EARLY: "Too little was assigned since the last CRM reset.",
    Reason.RESET_TOO_SOON: "The last CRM reset is too recent.",
    Reason.RETURN_DECLINED: "The return of this lead was reviewed and declined.",
    Reason.RETURN_REVERSED: "The return of this lead was reversed; the sale stands.",
    Reason.RETURN_UNDECIDED: "The return is still under review; nothing was taken back yet.",
    Reason.DISPUTE_TOO_LATE: "The time in which this return could be disputed has passed.",
    Reason.DECIDED_OTHERWISE: "This was decided already, and otherwise.",
    Reason.DISPUTED_OTHERWISE: "This return was disputed already, with another statement.",
}
