"""Calls about accounts: an operator's sellers and companies, deposits, CRM resets."""

from __future__ import annotations

from msgspec.structs import asdict

from exchange.core.model import CompanyId
from exchange.flow.faults import Invalid, NotFound
from exchange.flow.ports import Role
from exchange.flow.registry import Account
from exchange.web.calls import Call, idempotency_key
from exchange.web.market_codec import show_company, show_reset, show_seller
from exchange.web.wire import cents
from exchange.web.wire_accounts import (
    AccountChange,
    CompanyAnswer,
    CompanyBody,
    CompanyList,
    DepositBody,
    NewCompany,
    NewSeller,
    ResetAnswer,
    ResetList,
    SellerAnswer,
    SellerBody,
    SellerList,
    SigningSecretAnswer,
)


async def create_seller(call: Call) -> NewSeller:
    """Create a seller and its first key."""
    account, api_key = await _create(call, "seller", call.read(SellerBody).name, False)
    return NewSeller(**asdict(show_seller(account)), api_key=api_key)


async def create_company(call: Call) -> NewCompany:
    """Create a company and its first key."""
    body = call.read(CompanyBody)
    account, api_key = await _create(call, "company", body.name, body.prepaid)
    return NewCompany(**asdict(show_company(account)), api_key=api_key)


async def list_sellers(call: Call) -> SellerList:
    """List sellers."""
    accounts, following = await _list(call, "seller")
    return SellerList(items=tuple(show_seller(a) for a in accounts), next=following)


async def list_companies(call: Call) -> CompanyList:
    """List companies."""
    accounts, following = await _list(call, "company")
    return CompanyList(items=tuple(show_company(a) for a in accounts), next=following)


async def get_seller(call: Call) -> SellerAnswer:
    """Show a seller."""
    registry = call.site.doors.registry
    return show_seller(_known(await registry.account("seller", call.id("seller_id"))))


async def get_company(call: Call) -> CompanyAnswer:
    """Show a company with its balance; a company only itself."""
    company_id, registry = call.own_company("company_id"), call.site.doors.registry
    return show_company(_known(await registry.account("company", company_id)))


async def change_seller(call: Call) -> SellerAnswer:
    """Block or unblock a seller."""
    return show_seller(await _change(call, "seller", call.id("seller_id")))


async def change_company(call: Call) -> CompanyAnswer:
    """Block or unblock a company."""
    return show_company(await _change(call, "company", call.id("company_id")))


async def deposit(call: Call) -> CompanyAnswer:
    """Add to a company's prepaid balance, once per key."""
    body, doors = call.read(DepositBody), call.site.doors
    amount_cents = cents(body.amount, "amount")
    if amount_cents == 0:
        raise Invalid("amount must be more than 0.", field="amount")
    key = idempotency_key(call.headers, body.key)
    if not key:
        raise Invalid(
            "A deposit needs an Idempotency-Key header or a key, so that it is booked once.",
            field="key",
            code="missing_field",
        )
    company_id = CompanyId(call.id("company_id"))
    return show_company(
        _known(await doors.registry.deposit(company_id, amount_cents, key, doors.clock.now()))
    )


async def get_signing_secret(call: Call) -> SigningSecretAnswer:
    """Show the secret a company tells the exchange's requests by."""
    company_id, doors = call.own_company("company_id"), call.site.doors
    if await doors.registry.account("company", company_id) is None:
        raise NotFound("There is no such company.")
    return SigningSecretAnswer(company_id=company_id, secret=doors.signing_secret(company_id))


async def ask_reset(call: Call) -> ResetAnswer:
    """Ask for a CRM reset."""
    company_id, doors = call.own_company("company_id"), call.site.doors
    return show_reset(await doors.registry.ask_reset(company_id, doors.clock.now()))


async def list_company_resets(call: Call) -> ResetList:
    """List a company's CRM resets."""
    return await _list_resets(call, call.own_company("company_id"))


async def list_resets(call: Call) -> ResetList:
    """List everybody's CRM resets."""
    return await _list_resets(call, None)


async def approve_reset(call: Call) -> ResetAnswer:
    """Approve a CRM reset; protection starts again at once."""
    doors = call.site.doors
    reset = await doors.registry.approve_reset(call.id("reset_id"), doors.clock.now())
    if reset is None:
        raise NotFound("There is no such reset.")
    return show_reset(reset)


async def _create(call: Call, role: Role, name: str, prepaid: bool) -> tuple[Account, str]:
    if not name.strip() or not name.isprintable():
        raise Invalid("name needs visible characters, and only such.", field="name")
    doors = call.site.doors
    return await doors.registry.create_account(
        role, name.strip(), prepaid=prepaid, now=doors.clock.now()
    )


async def _change(call: Call, role: Role, account_id: str) -> Account:
    active, doors = call.read(AccountChange).active, call.site.doors
    return _known(await doors.registry.set_active(role, account_id, active, doors.clock.now()))


async def _list(call: Call, role: Role) -> tuple[tuple[Account, ...], str | None]:
    page = call.page()
    found = await call.site.doors.registry.accounts(role, page.after, page.limit + 1)
    return page.cut(list(found), lambda account: account.id)


async def _list_resets(call: Call, company_id: CompanyId | None) -> ResetList:
    page = call.page()
    found = await call.site.doors.registry.resets(company_id, page.after, page.limit + 1)
    resets, following = page.cut(list(found), lambda reset: reset.reset_id)
    return ResetList(items=tuple(show_reset(r) for r in resets), next=following)


def _known(account: Account | None) -> Account:
    if account is None:
        raise NotFound("There is no such account.")
    return account
