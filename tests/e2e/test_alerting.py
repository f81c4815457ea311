"""Alerts and connection tests through the wire, with two workers and one that dies (rules §12)."""

from __future__ import annotations

import pytest

from bidders.crm import Behaviour, CrmServer
from tests.e2e.running import exchange_running, until
from tests.e2e.wire import Wire
from tests.flow.hooks import hook

pytestmark = pytest.mark.e2e

PATIENCE_S = 20.0


async def test_an_alert_comes_once_by_a_signed_webhook_though_a_worker_dies(
    crm: CrmServer,
) -> None:
    given = {"EXCHANGE_ALERTS_EVERY_S": "1"}
    async with exchange_running(given=given) as running, Wire(running) as wire, hook() as mine:
        company = await wire.company(deposit="60.00")
        settings = {"webhook_url": mine.url, "kinds": ["balance_low", "connection_failing"]}
        path = f"/v1/companies/{company.id}/alerts"
        (await wire.call("PUT", path, company.key, settings)).ok()
        assert (await wire.call("POST", f"{path}/trial", company.key)).ok() == {"notices": 1}
        await until(lambda: bool(mine.requests), PATIENCE_S, "the trial notice")

        url = crm.set_behaviour("mine", Behaviour(fail_rate=1.0))
        campaign = {
            "name": "roofs",
            "vertical": "solar",
            "bid": {"exclusive": 45.75},
            "delivery": [{"kind": "http", "url": url}],
        }
        made = (await wire.call("POST", "/v1/campaigns", company.key, campaign)).ok()
        await until(lambda: len(mine.requests) > 1, PATIENCE_S, "the alert")
        running.kill(running.worker_pids()[0])
        at = f"/v1/campaigns/{made['campaign_id']}"
        await until(running.is_ready, PATIENCE_S, "another worker")
        for _ in range(3):
            (await wire.call("POST", f"{at}/connection-test", company.key)).ok()
        await until(lambda: len(mine.requests) > 2, PATIENCE_S, "the failing connection")
        deposit = {"amount": 100, "key": "b"}
        await wire.call("POST", f"/v1/companies/{company.id}/deposits", body=deposit)
        await until(lambda: len(mine.requests) > 3, PATIENCE_S, "the end of the alert")

        assert mine.told == [
            ("test", "test"),
            ("raised", "balance_low"),
            ("raised", "connection_failing"),
            ("recovered", "balance_low"),
        ]
        secret = await wire.get(f"/v1/companies/{company.id}/signing-secret", company.key)
        assert mine.is_signed_with(str(secret["secret"]))
        kept = await wire.get(f"{at}/connections", company.key)
        (connection,) = kept["connections"]
        assert (connection["failures"], connection["last_24_h"]["tests"]) == (3, 3)
        alerts = await wire.get("/v1/alerts?state=raised", company.key)
        assert [alert["kind"] for alert in alerts["items"]] == ["connection_failing"]
        await running.check()
