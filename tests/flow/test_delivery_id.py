"""A lead has one delivery id at a company, whoever makes it and whenever (rules: §8)."""

from __future__ import annotations

from uuid import UUID, uuid5

from exchange.core.model import CompanyId, LeadId
from exchange.flow.sell import delivery_id_of

NAMESPACE = UUID("5bb4b6f0-3b5e-4c0c-9a3f-6b1e8d1a7c11")


def test_a_delivery_id_is_the_name_based_uuid_of_lead_and_company() -> None:
    made = delivery_id_of(LeadId("019a9d3c-8a44-7f00-8f10-6b1de0a1c9d2"), CompanyId("c1"))
    assert made == "71fb8adf-70d9-566a-9f0c-a707e9200ffd"
    assert made == str(uuid5(NAMESPACE, "019a9d3c-8a44-7f00-8f10-6b1de0a1c9d2:c1"))
