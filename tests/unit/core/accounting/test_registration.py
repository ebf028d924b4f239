"""The check digit of Korean business registration numbers."""

from __future__ import annotations

import pytest

from scheduler.core.accounting.registration import check_digit, is_valid, normalise

# Weights 1 3 7 1 3 7 1 3 5; S = sum + tens of 5 x ninth digit; check = (10 - S mod 10) mod 10.
VALID = {
    "124-81-00998": "1+6+28+8+3+0+0+27+45 = 118, + 4 = 122: 10 - 2 = 8",
    "220-81-62517": "2+6+0+8+3+42+2+15+5 = 83, + 0 = 83: 10 - 3 = 7",
    "120-81-47521": "1+6+0+8+3+28+7+15+10 = 78, + 1 = 79: 10 - 9 = 1",
    "123-45-67891": "1+6+21+4+15+42+7+24+45 = 165, + 4 = 169: 10 - 9 = 1",
}


@pytest.mark.parametrize(("number", "sums"), VALID.items(), ids=VALID.keys())
def test_valid(number: str, sums: str) -> None:
    assert sums.endswith(f"= {number[-1]}")
    assert is_valid(number)
    assert normalise(number.replace("-", "")) == number == normalise(number)
    assert check_digit(number.replace("-", "")[:9]) == int(number[-1])


def test_a_sum_that_ends_in_zero_has_the_check_digit_zero() -> None:
    # 1x1 + 3x3 = 10: 10 - 0 = 10, and its last digit is 0; without the outer "mod 10" no digit would fit
    assert check_digit("130000000") == 0
    assert is_valid("130-00-00000")


@pytest.mark.parametrize("number", [f"123-45-6789{digit}" for digit in range(10) if digit != 1])
def test_every_other_last_digit_is_wrong(number: str) -> None:
    with pytest.raises(ValueError, match="its last digit would be 1"):
        normalise(number)


def test_one_wrong_digit_is_found_unless_the_weights_hide_it() -> None:
    """Weights 1, 3 and 7 have no common factor with 10, so each single slip in the first eight digits is found."""
    for place in range(8):
        for slip in range(1, 10):
            digits = [int(digit) for digit in "1234567891"]
            digits[place] = (digits[place] + slip) % 10
            assert not is_valid("".join(map(str, digits))), (place, slip)


FORMS = ["", "123-45-6789", "123-45-678911", "123 45 67891", "12-345-67891", "000-00-00000", "１２３-45-67891"]


@pytest.mark.parametrize("text", [*FORMS, "123-45-67891\n"])
def test_what_has_not_its_form(text: str) -> None:
    with pytest.raises(ValueError, match="business registration number"):
        normalise(text)
    assert not is_valid(text)


@pytest.mark.parametrize("text", ["", "12345678", "1234567890", "12345678x"])
def test_a_check_digit_needs_nine_digits(text: str) -> None:
    with pytest.raises(ValueError, match="not nine digits"):
        check_digit(text)
