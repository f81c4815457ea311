"""Calls about contracts: an operator's, and for reading those of the seller or company."""

from __future__ import annotations

from typing import Final

from exchange.core.model import CompanyId, SellerId
from exchange.flow.contracts import ContractRecord
from exchange.flow.faults import Invalid, NotFound
from exchange.web.calls import Call, idempotency_key, is_id
from exchange.web.contract_codec import in_utc, read_draft, show_breach, show_contract
from exchange.web.queries import ID, Asked
from exchange.web.wire_contracts import (
    BreachList,
    ContractAnswer,
    ContractBody,
    ContractEndBody,
    ContractList,
    VersionBody,
)

LIST_ASKED: Final = (
    Asked(name="seller_id", meaning="Only contracts of this seller", shape=ID),
    Asked(name="company_id", meaning="Only contracts of this company", shape=ID),
)


async def create_contract(call: Call) -> ContractAnswer:
    """Make a contract between a seller and a company."""
    body, doors = call.read(ContractBody), call.site.doors
    record = await doors.contracts.create(
        SellerId(body.seller_id),
        CompanyId(body.company_id),
        read_draft(body),
        key=idempotency_key(call.headers, None),
        now=doors.clock.now(),
    )
    return _show(call, record)


async def add_contract_version(call: Call) -> ContractAnswer:
    """Record a new version of a contract; no version is ever edited."""
    draft, doors = read_draft(call.read(VersionBody)), call.site.doors
    key = idempotency_key(call.headers, None)
    contract_id, now = call.id("contract_id"), doors.clock.now()
    return _show(call, await doors.contracts.amend(contract_id, draft, key=key, now=now))


async def end_contract(call: Call) -> ContractAnswer:
    """End a contract, now or later; the vertical's defaults hold from then on."""
    body, doors = call.read(ContractEndBody), call.site.doors
    key, at = idempotency_key(call.headers, None), in_utc(body.effective_to, "effective_to")
    contract_id, now = call.id("contract_id"), doors.clock.now()
    return _show(call, await doors.contracts.end(contract_id, at, key=key, now=now))


async def list_contracts(call: Call) -> ContractList:
    """List the seller's or company's contracts; an operator's list has everybody's."""
    page = call.page()
    asked = {name: _filter(call, name) for name in ("seller_id", "company_id")}
    if not call.is_operator:
        own, subject_id = f"{call.who.role}_id", call.who.subject_id
        if asked[own] not in (None, subject_id):
            return ContractList(items=(), next=None)
        asked[own] = subject_id
    seller_id, company_id = asked["seller_id"], asked["company_id"]
    if call.is_operator and seller_id is not None:
        await call.check_party("seller", seller_id)
    if call.is_operator and company_id is not None:
        await call.check_party("company", company_id)
    found = await call.site.doors.contracts.contracts(
        None if seller_id is None else SellerId(seller_id),
        None if company_id is None else CompanyId(company_id),
        page.after,
        page.limit + 1,
    )
    records, following = page.cut(list(found), lambda record: record.contract_id)
    return ContractList(items=tuple(_show(call, r) for r in records), next=following)


async def get_contract(call: Call) -> ContractAnswer:
    """Show a contract with its history."""
    return _show(call, await _own(call))


async def list_contract_refusals(call: Call) -> BreachList:
    """List real-time refusals for reasons the contract does not allow."""
    page, contract_id = call.page(), (await _own(call)).contract_id
    found = await call.site.doors.contracts.breaches(contract_id, page.after, page.limit + 1)
    breaches, following = page.cut(list(found), lambda breach: breach.delivery_id)
    return BreachList(items=tuple(show_breach(b) for b in breaches), next=following)


def _filter(call: Call, name: str) -> str | None:
    value = call.query.get(name)
    if value is not None and not is_id(value):
        raise Invalid(f"{name} is not an id.", field=name)
    return value


async def _own(call: Call) -> ContractRecord:
    """The contract the path names, if the caller is a party to it. Raises NotFound."""
    record = await call.site.doors.contracts.contract(call.id("contract_id"))
    who = call.who
    parties = None if record is None else {"seller": record.seller_id, "company": record.company_id}
    if (
        record is None
        or parties is None
        or not (call.is_operator or parties.get(who.role) == who.subject_id)
    ):
        raise NotFound("There is no such contract.")
    return record


def _show(call: Call, record: ContractRecord | None) -> ContractAnswer:
    if record is None:
        raise NotFound("There is no such contract.")
    return show_contract(record, call.site.doors.clock.now())
