"""What `exchange serve --demo-market` prints: where to look, the keys, and lines to paste."""

from __future__ import annotations

from typing import Final

from exchange.demo.model import DemoMarket

# A lead the first company pays best for. No contact hashes, and another contact with every ping, so
# that it can be pasted again.
_PING: Final = (
    '{"vertical":"solar","attributes":{"zip":"94107","state":"CA","credit_score":710,'
    '"owns_home":true,"monthly_bill":150},"min_price":12.00}'
)
_CONTACT: Final = (
    """{"first_name":"Ada","last_name":"Lovelace","email":"ada.'"$PING_ID"'@example.com"}"""
)
_REJECTION: Final = '{"text":"The number is disconnected"}'


def describe(market: DemoMarket, base_url: str) -> str:
    """Write the guide to an open market. Its lines work as pasted, in their order, in any shell."""
    buyer = market.companies[0]
    accounts = (market.seller, *market.companies)
    width = max(len("operator"), *(len(account.name) for account in accounts))
    keys = [f"  {'operator':<{width}}  {market.operator_key}"]
    keys += [f"  {account.name:<{width}}  {account.api_key}" for account in accounts]
    pages = ("healthz", "readyz", "metrics", "openapi.json")
    return "\n".join(
        [
            "",
            f"The demo market is open: {market.seller.name} sells, "
            f"{len(market.companies)} companies buy.",
            "",
            "Look around:",
            *(f"  {base_url}/{page}" for page in pages),
            "",
            "Keys:",
            *keys,
            "",
            f"Sell a lead. {buyer.name} buys it, as long as it does not return too many:",
            "",
            _send("PING", f"{base_url}/v1/ping", market.seller.api_key, f"'{_PING}'"),
            _pick("PING_ID", "PING", "ping_id"),
            "",
            _send(
                "POST",
                f"{base_url}/v1/post",
                market.seller.api_key,
                f"""'{{"ping_id":"'"$PING_ID"'","contact":{_CONTACT}}}'""",
            ),
            _pick("LEAD_ID", "POST", "lead_id"),
            "",
            "See how it was decided, as the operator; then the lead, as its company:",
            "",
            _get(f'"{base_url}/v1/pings/$PING_ID"', market.operator_key),
            _get(f'"{base_url}/v1/leads/$LEAD_ID"', buyer.api_key),
            "",
            "Return it. Then see the company's standing, and ping again: the price is lower.",
            "",
            f'curl -sS "{base_url}/v1/leads/$LEAD_ID/rejections" {_headers(buyer.api_key)} '
            f"-d '{_REJECTION}'; echo",
            _get(f'"{base_url}/v1/companies/{buyer.id}/standing"', buyer.api_key),
            "",
        ]
    )


def _send(name: str, url: str, api_key: str, body: str) -> str:
    """A line that sends a body and keeps the answer under a name."""
    return (
        f"""{name}=$(curl -sS "{url}" {_headers(api_key)} -d {body}); printf '%s\\n' "${name}\""""
    )


def _pick(name: str, answer: str, field: str) -> str:
    """A line that takes a field's text out of a kept answer."""
    return f"""{name}=$(printf '%s' "${answer}" | sed 's/.*"{field}":"//; s/".*//')"""


def _get(url: str, api_key: str) -> str:
    return f'curl -sS {url} -H "Authorization: Bearer {api_key}"; echo'


def _headers(api_key: str) -> str:
    return f'-H "Authorization: Bearer {api_key}" -H "Content-Type: application/json"'
