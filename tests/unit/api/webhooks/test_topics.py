"""From the topic of a hook and what its sender says to the type of an event."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ordinaut.resources.eventtype import MAX_TYPE, is_reserved, is_type
from ordinaut_api.webhooks.topics import event_type


@pytest.mark.parametrize(
    ("topic", "kind", "type_"),
    [
        ("alarm.raised", None, "alarm.raised"),
        ("alarm.raised", "anything", "alarm.raised"),
        ("github.>", "push", "github.push"),
        ("github.>", "pull_request_review", "github.pull_request_review"),
        ("stripe.>", "customer.subscription.created", "stripe.customer.subscription.created"),
        ("shop.>", "OrderPaid", "shop.OrderPaid"),
        ("shop.>", None, "shop.other"),
        ("shop.>", "two words", "shop.other"),
        ("shop.>", "a..b", "shop.other"),
        ("shop.>", ">", "shop.other"),
        ("shop.>", "x" * MAX_TYPE, "shop.other"),
    ],
)
def test_the_rest_of_a_topic_is_what_the_sender_says(topic: str, kind: str | None, type_: str) -> None:
    assert event_type(topic, kind=kind) == type_


@given(st.none() | st.text() | st.from_regex("[a-z]{1,9}([.][a-z]{1,9}){0,20}", fullmatch=True))
def test_whatever_a_sender_says_gives_a_type_below_the_topic(kind: str | None) -> None:
    type_ = event_type("shop.>", kind=kind)

    assert is_type(type_)
    assert len(type_) <= MAX_TYPE
    assert type_.startswith("shop.")
    assert not is_reserved(type_)
