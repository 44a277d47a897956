from __future__ import annotations

import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from irkit.aws.names import account_id, arn_parts, instance_id, region_name, role_arn
from irkit.errors import InvalidName

CHECKS = [instance_id, account_id, region_name, role_arn]


@pytest.mark.parametrize(
    ("check", "text"),
    [
        (instance_id, "i-01234567"), (instance_id, "i-0123456789abcdef0"), (account_id, "012345678901"),
        (region_name, "us-east-1"), (region_name, "us-gov-west-1"), (region_name, "us-iso-east-1"),
        (role_arn, "arn:aws:iam::012345678901:role/path/to/Responder"),
        (role_arn, "arn:aws-us-gov:iam::012345678901:role/R"),
    ],
)  # fmt: skip
def test_a_name_that_fits_comes_back_as_it_was(check: Callable[[str], str], text: str) -> None:
    assert check(text) == text


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize(
    "text", ["", " ", "x", "i-0123456789abcdef0\n", "i-0123456789ABCDEF0", "i-012345678", "12345678901", "٣" * 12,
             "us-east-1 ", "us_east_1", "arn:aws:iam::1:role/x", "arn:aws:iam::012345678901:user/x", "$(id)", "../x"],
    ids=repr,
)  # fmt: skip
def test_a_name_that_does_not_fit_is_refused_in_one_line(check: Callable[[str], str], text: str) -> None:
    with pytest.raises(InvalidName, match=r"it (looks like|has 12 digits)") as caught:
        check(text)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


@given(
    text=st.text(st.characters(exclude_categories=["Ll", "Nd"]), max_size=40), check=st.sampled_from(CHECKS)
)
def test_no_text_is_shown_raw(text: str, check: Callable[[str], str]) -> None:
    with pytest.raises(InvalidName) as caught:
        check(text)
    assert not any(unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"} for c in str(caught.value))


def test_an_arn_has_its_parts() -> None:
    arn = arn_parts("arn:aws:sts::111122223333:assumed-role/web/i-0123456789abcdef0")
    assert (arn.service, arn.region, arn.account, arn.name) == (
        "sts",
        "",
        "111122223333",
        "i-0123456789abcdef0",
    )
    assert arn_parts("arn:aws:sns:us-east-1:1:a:b:c").resource == "a:b:c"


@pytest.mark.parametrize("text", ["", "arn", "arn:aws:iam::1", "xrn:aws:iam::1:role/x"])
def test_what_is_no_arn_is_refused(text: str) -> None:
    with pytest.raises(InvalidName, match="is not an ARN"):
        arn_parts(text)
