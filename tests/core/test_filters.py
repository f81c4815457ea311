"""Filters: what they match, and what is refused when they are saved (rules: §3.2)."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.core.filters import (
    MAX_CONDITIONS,
    MAX_DEPTH,
    MAX_VALUES,
    FilterError,
    compile_filter,
)
from exchange.core.model import Condition
from tests.core.making import LEAD, attributes, solar

SOLAR = solar()


def condition(raw: Any) -> Condition:
    """A condition as it is decoded from a campaign."""
    return msgspec.json.decode(msgspec.json.encode(raw), type=Condition)


def matches(raw: Any, **values: Any) -> bool:
    return compile_filter(condition(raw), SOLAR)(attributes(SOLAR, **values))


def field(name: str, op: str, value: Any = None) -> dict[str, Any]:
    return {"field": name, "op": op, "value": value}


@pytest.mark.parametrize(
    ("raw", "matched"),
    [
        pytest.param(field("state", "=", "CA"), True, id="="),
        pytest.param(field("state", "=", "NV"), False, id="= of another"),
        pytest.param(field("state", "==", "CA"), True, id="=="),
        pytest.param(field("state", "eq", "CA"), True, id="eq"),
        pytest.param(field("state", "!=", "NV"), True, id="!="),
        pytest.param(field("state", "ne", "CA"), False, id="ne"),
        pytest.param(field("credit_score", ">=", 710), True, id=">= at its bound"),
        pytest.param(field("credit_score", "gte", 711), False, id="gte above"),
        pytest.param(field("credit_score", ">", 709), True, id=">"),
        pytest.param(field("credit_score", "gt", 710), False, id="gt at its bound"),
        pytest.param(field("credit_score", "<=", 710), True, id="<= at its bound"),
        pytest.param(field("credit_score", "lte", 709), False, id="lte below"),
        pytest.param(field("credit_score", "<", 711), True, id="<"),
        pytest.param(field("credit_score", "lt", 710), False, id="lt at its bound"),
        pytest.param(field("monthly_bill", ">=", 149.99), True, id="a decimal against a fraction"),
        pytest.param(field("monthly_bill", "=", 150), True, id="a decimal against a whole number"),
        pytest.param(field("state", "in", ["CA", "NV"]), True, id="in"),
        pytest.param(field("state", "in", ["AZ", "NV"]), False, id="in, but not"),
        pytest.param(field("state", "not_in", ["AZ", "NV"]), True, id="not_in"),
        pytest.param(field("state", "not_in", ["CA", "NV"]), False, id="not_in, but in"),
        pytest.param(field("credit_score", "between", [710, 720]), True, id="between, lower bound"),
        pytest.param(field("credit_score", "between", [700, 710]), True, id="between, upper bound"),
        pytest.param(field("credit_score", "between", [711, 720]), False, id="between, outside"),
        pytest.param(field("zip", "prefix", "941"), True, id="prefix"),
        pytest.param(field("zip", "prefix", "107"), False, id="prefix of the end"),
        pytest.param(field("owns_home", "=", True), True, id="a boolean"),
        pytest.param(field("owns_home", "=", False), False, id="the other boolean"),
        pytest.param(field("zip", "exists"), True, id="exists"),
        pytest.param(field("roof", "exists"), False, id="does not exist"),
        pytest.param(field("roof", "exists", False), True, id="exists: false"),
        pytest.param(field("roof", "exists", True), False, id="exists: true"),
    ],
)
def test_a_comparison_matches_as_it_reads(raw: Any, matched: bool) -> None:
    assert matches(raw, **LEAD) is matched


YES, NO = field("state", "=", "CA"), field("state", "=", "NV")


@pytest.mark.parametrize(
    ("raw", "matched"),
    [
        pytest.param({"all": [YES, YES]}, True, id="all"),
        pytest.param({"all": [YES, NO]}, False, id="all but one"),
        pytest.param({"any": [NO, YES]}, True, id="any"),
        pytest.param({"any": [NO, NO]}, False, id="none of any"),
        pytest.param({"all": [NO]}, False, id="all of one"),
        pytest.param({"not": NO}, True, id="not"),
        pytest.param({"not": {"any": [NO, YES]}}, False, id="not of any"),
        pytest.param({"all": [{"any": [NO, YES]}, {"not": NO}]}, True, id="nested"),
    ],
)
def test_conditions_combine(raw: Any, matched: bool) -> None:
    assert matches(raw, **LEAD) is matched


def test_no_filter_matches_every_lead() -> None:
    assert compile_filter(None, SOLAR)(attributes(SOLAR))


COMPARISONS = [
    field("state", "=", "CA"),
    field("state", "!=", "CA"),
    field("credit_score", ">=", 300),
    field("credit_score", ">", 300),
    field("credit_score", "<=", 850),
    field("credit_score", "<", 850),
    field("state", "in", ["CA"]),
    field("state", "not_in", ["CA"]),
    field("credit_score", "between", [300, 850]),
    field("zip", "prefix", "9"),
    field("owns_home", "=", False),
]


@pytest.mark.parametrize("raw", COMPARISONS, ids=lambda raw: f"{raw['field']} {raw['op']}")
def test_an_absent_attribute_matches_no_comparison(raw: Any) -> None:
    assert not matches(raw)


@pytest.mark.parametrize("raw", COMPARISONS, ids=lambda raw: f"{raw['field']} {raw['op']}")
def test_not_of_a_comparison_is_true_for_an_absent_attribute(raw: Any) -> None:
    assert matches({"not": raw})


def deep(levels: int) -> dict[str, Any]:
    return YES if levels == 1 else {"not": deep(levels - 1)}


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        pytest.param({}, "filter", id="empty"),
        pytest.param({"all": [YES], "any": [YES]}, "filter", id="all and any"),
        pytest.param({"not": YES, "field": "state"}, "filter", id="not and field"),
        pytest.param({"all": [YES], "op": "="}, "filter", id="op without a field"),
        pytest.param({"any": [YES], "value": 1}, "filter", id="value without a field"),
        pytest.param({"all": []}, "filter.all", id="all of nothing"),
        pytest.param({"any": []}, "filter.any", id="any of nothing"),
        pytest.param(field("colour", "=", "red"), "filter.field", id="unknown attribute"),
        pytest.param({"field": "state", "value": "CA"}, "filter.op", id="no operator"),
        pytest.param(field("state", "like", "C"), "filter.op", id="unknown operator"),
        pytest.param(field("state", ">=", "CA"), "filter.op", id="a state has no order"),
        pytest.param(field("remark", "<", "x"), "filter.op", id="a text has no order"),
        pytest.param(field("zip", "between", ["94000", "94999"]), "filter.op", id="nor has a ZIP"),
        pytest.param(field("roof", ">", "tile"), "filter.op", id="nor has a choice"),
        pytest.param(field("owns_home", ">", True), "filter.op", id="nor has a boolean"),
        pytest.param({"field": "state", "op": "="}, "filter.value", id="no value"),
        pytest.param(field("state", "=", "California"), "filter.value", id="not a state"),
        pytest.param(field("state", "=", "ca"), "filter.value", id="a state in lower case"),
        pytest.param(field("state", "=", 5), "filter.value", id="a number for a state"),
        pytest.param(field("state", "in", ["CA", "XX"]), "filter.value[1]", id="in: not a state"),
        pytest.param(field("zip", "=", "9410"), "filter.value", id="four digits"),
        pytest.param(field("zip", "in", ["94107", 94107]), "filter.value[1]", id="a ZIP as number"),
        pytest.param(field("roof", "=", "straw"), "filter.value", id="not one of the choices"),
        pytest.param(field("owns_home", "=", "yes"), "filter.value", id="a text for a boolean"),
        pytest.param(field("owns_home", "=", 1), "filter.value", id="a number for a boolean"),
        pytest.param(field("credit_score", ">=", "650"), "filter.value", id="a text for a number"),
        pytest.param(field("credit_score", ">=", True), "filter.value", id="a boolean for one"),
        pytest.param(field("credit_score", "=", [650]), "filter.value", id="a list for one"),
        pytest.param(field("remark", "=", 1), "filter.value", id="a number for a text"),
        pytest.param(field("state", "in", "CA"), "filter.value", id="in without a list"),
        pytest.param(field("state", "in", []), "filter.value", id="in nothing"),
        pytest.param(field("credit_score", "between", [650]), "filter.value", id="one bound"),
        pytest.param(field("credit_score", "between", [1, 2, 3]), "filter.value", id="three"),
        pytest.param(field("credit_score", "between", [9, 1]), "filter.value", id="bounds swapped"),
        pytest.param(field("credit_score", "prefix", "7"), "filter.value", id="prefix of a number"),
        pytest.param(field("zip", "prefix", ""), "filter.value", id="an empty prefix"),
        pytest.param(field("zip", "prefix", 941), "filter.value", id="a prefix as number"),
        pytest.param(field("zip", "exists", "yes"), "filter.value", id="exists: a text"),
        pytest.param(
            {"all": [YES, {"not": {"any": [YES, field("state", "=", "XX")]}}]},
            "filter.all[1].not.any[1].value",
            id="deep inside",
        ),
        pytest.param(deep(MAX_DEPTH + 1), "filter" + ".not" * MAX_DEPTH, id="too deep"),
        pytest.param(
            {"all": [YES] * MAX_CONDITIONS},
            f"filter.all[{MAX_CONDITIONS - 1}]",
            id="too many conditions",
        ),
        pytest.param(
            field("remark", "in", ["x"] * (MAX_VALUES + 1)), "filter.value", id="too many values"
        ),
    ],
)
def test_a_fault_names_its_place(raw: Any, path: str) -> None:
    with pytest.raises(FilterError) as fault:
        compile_filter(condition(raw), SOLAR)
    assert fault.value.path == path


def test_a_fault_that_is_not_in_a_filter_names_where_it_is() -> None:
    with pytest.raises(FilterError) as fault:
        compile_filter(condition(field("colour", "=", 1)), SOLAR, "bid.modifiers[0].when")
    assert fault.value.path == "bid.modifiers[0].when.field"


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_number_without_end_is_refused(number: float) -> None:
    with pytest.raises(FilterError):
        compile_filter(Condition(field="monthly_bill", op=">=", value=number), SOLAR)


def test_the_deepest_and_widest_filters_allowed_compile() -> None:
    assert not matches(deep(MAX_DEPTH), **LEAD)  # seven times not
    assert matches({"all": [YES] * (MAX_CONDITIONS - 1)}, **LEAD)


SCORES = st.integers(300, 850)
TREES = st.recursive(
    st.builds(lambda op, n: field("credit_score", op, n), st.sampled_from([">=", "<"]), SCORES),
    lambda inner: st.one_of(
        st.builds(lambda parts: {"all": parts}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda parts: {"any": parts}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda part: {"not": part}, inner),
    ),
    max_leaves=8,
)


def plain(raw: Any, score: int) -> bool:
    """The meaning of a tree, written without any compiling."""
    if "all" in raw:
        return all(plain(part, score) for part in raw["all"])
    if "any" in raw:
        return any(plain(part, score) for part in raw["any"])
    if "not" in raw:
        return not plain(raw["not"], score)
    return bool(score >= raw["value"] if raw["op"] == ">=" else score < raw["value"])


def depth(raw: Any) -> int:
    inner = raw.get("all") or raw.get("any") or ([raw["not"]] if "not" in raw else [])
    return 1 + max(map(depth, inner), default=0)


@given(TREES.filter(lambda raw: depth(raw) <= MAX_DEPTH), SCORES)
def test_a_compiled_filter_means_what_it_says(raw: Any, score: int) -> None:
    assert matches(raw, credit_score=score) == plain(raw, score)
