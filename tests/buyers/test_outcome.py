"""What a company's answer means (rules: §8; design, Wire)."""

import json

import pytest

from exchange.buyers.outcome import judge_answer, judge_status, never_answered, never_sent
from exchange.buyers.redaction import MAX_TEXT_CHARS, REMOVED, redact
from exchange.core.reasons import REJECTION_REASONS, Reason
from exchange.flow.ports import Answer, Contact
from tests.buyers.systems import ANN


def judge(body: bytes | dict[str, object], status: int = 200) -> Answer:
    return judge_answer(status, body if isinstance(body, bytes) else json.dumps(body).encode(), ANN)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
@pytest.mark.parametrize("body", [b"", b" \r\n", b"\xef\xbb\xbf"])
def test_a_2xx_with_no_body_takes_the_lead(status: int, body: bytes) -> None:
    assert judge(body, status) == Answer(result="accepted")


@pytest.mark.parametrize("status", ["accepted", "Accepted", " ACCEPTED "])
def test_an_accepted_answer_takes_the_lead_under_the_companys_reference(status: str) -> None:
    told = judge({"status": status, "reference": "crm-77", "more": {"deep": [1]}})
    assert told == Answer(result="accepted", reference="crm-77")


@pytest.mark.parametrize(
    ("reference", "kept"),
    [
        (4711, "4711"),
        (None, None),
        (True, None),
        ({"id": 1}, None),
        ("x" * 201, None),
        ("nul\0", None),
        ("", None),
        ("4155550123", "4155550123"),
        ("415-555-0100", None),
        ("lead of Ann", None),
        ("a.b@mail.example", None),
    ],
)
def test_a_reference_is_a_short_text_or_number_and_never_the_contact(
    reference: object, kept: str | None
) -> None:
    assert judge({"status": "accepted", "reference": reference}).reference == kept


@pytest.mark.parametrize("status", ["rejected", "refused", "REJECTED"])
@pytest.mark.parametrize("code", REJECTION_REASONS)
def test_a_refusal_with_a_reason_code_keeps_it(status: str, code: str) -> None:
    told = judge({"status": status, "reason": code})
    assert told == Answer(result="refused", reason=REJECTION_REASONS[code])


def test_a_refusal_in_other_words_keeps_them_in_the_detail() -> None:
    told = judge({"status": "rejected", "reason": "no roofs in winter"})
    assert told.result == "refused"
    assert told.reason is Reason.COMPANY_REFUSED
    assert told.detail == "no roofs in winter"


@pytest.mark.parametrize("reason", [None, "", "  ", 7, ["duplicate"]])
def test_a_refusal_without_a_reason_is_still_a_refusal(reason: object) -> None:
    told = judge({"status": "rejected", "reason": reason})
    assert told == Answer(result="refused", reason=Reason.COMPANY_REFUSED)


@pytest.mark.parametrize(
    "body",
    [
        b"OK",
        b"<html></html>",
        b"null",
        b"[]",
        b"{}",
        b'"accepted"',
        b'{"status":true}',
        b'{"status":"queued"}',
        b'{"status":"accepted"',
        b'{"status":"accepted","reference":"\xff"}',
        b"\x1f\x8b\x08\x00",
        b"[" * 60_000,
        b'{"status":"accepted","x":' + b"[" * 60_000,
    ],
    ids=lambda body: str(body[:24]),
)
def test_a_2xx_nobody_can_read_is_a_format_failure(body: bytes) -> None:
    told = judge(body)
    assert (told.result, told.reason) == ("failed", Reason.DATA_FORMAT)


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (400, Reason.DATA_FORMAT),
        (415, Reason.DATA_FORMAT),
        (422, Reason.DATA_FORMAT),
        (401, Reason.AUTH_FAILURE),
        (403, Reason.AUTH_FAILURE),
        (429, Reason.RATE_LIMITED),
        *((status, Reason.CONNECTIVITY) for status in (500, 502, 503, 504, 599)),
        *((status, Reason.CONNECTIVITY) for status in (101, 301, 302, 307, 404, 408, 409, 418)),
    ],
)
def test_any_other_status_fails_whatever_the_body_says(status: int, reason: Reason) -> None:
    told = judge({"status": "accepted"}, status)
    assert told == Answer(result="failed", reason=reason, detail=f"HTTP {status}")
    assert judge_status(status) == told


def test_what_never_went_out_failed_and_what_was_never_answered_is_unclear() -> None:
    assert never_sent("x") == Answer(result="failed", reason=Reason.CONNECTIVITY, detail="x")
    assert never_answered("x") == Answer(result="unclear", reason=Reason.CRM_TIMEOUT, detail="x")


# --- no contact data in what people read ----------------------------------------------------------


@pytest.mark.parametrize(
    "quoted",
    [
        "Ann",
        "ANN",
        "müller",
        "Muller",
        "AnnMuller",
        "ann.mueller@mail.example",
        "ann.mueller%40mail.example",
        "ann.mueller＠mail.example",
        "a\u200bnn.mueller@mail.example",
        "ann . mueller",
        "+14155550100",
        "(415) 555-0100",
        "415 . 555 . 0100",
        "４１５５５５０１００",
        "555-0100",
        "1428 Elm",
        "springwood",
        "https://crm.example/?p=4155550100",
        "somebody.else@mail.example",
        "+44 20 7946 0000",
    ],
)
def test_contact_data_quoted_in_a_refusal_does_not_reach_the_detail(quoted: str) -> None:
    detail = redact(f"we know {quoted}, sorry", ANN)
    assert REMOVED in detail
    folded = detail.replace(REMOVED, "").casefold()
    for secret in ("ann", "ller", "mueller", "example", "555", "0100", "elm", "springw", "7946"):
        assert secret not in folded


@pytest.mark.parametrize(
    "harmless",
    ["outside of CA", "ZIP 94107 not served", "cap of 100 reached, annual plan", "score 710 < 720"],
)
def test_a_refusals_own_words_are_left_alone(harmless: str) -> None:
    assert redact(harmless, ANN) == harmless


def test_a_detail_is_bounded_and_printable() -> None:
    assert len(redact("wörter " * 10_000, ANN)) <= MAX_TEXT_CHARS
    assert redact("a\0b\nc\x1b[0m", ANN) == "a b c [0m"
    assert redact("x" * 100_000, ANN) == ""


def test_a_contact_of_few_fields_is_enough() -> None:
    assert redact("Bo is known", Contact(first_name="Bo", last_name="")) == f"{REMOVED} is known"
    plain = Contact(first_name="Bo", last_name="X", address="5 Long Lane")
    assert redact("long lane is far", plain) == f"{REMOVED} {REMOVED} is far"
