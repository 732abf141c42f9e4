"""Context lengths as people write them."""

import pytest

from ropepp_eval.errors import UserError
from ropepp_eval.lengths import format_length, parse_length, parse_lengths


@pytest.mark.parametrize(
    ("written", "tokens"), [("4k", 4096), ("4K", 4096), ("4096", 4096), (300, 300), (" 64k ", 65536), ("0k", 0), (0, 0)]
)
def test_a_written_length_is_its_tokens(written: str | int, tokens: int) -> None:
    assert parse_length(written) == tokens


@pytest.mark.parametrize("written", ["3x", "", "k", "-4k", "0", "4.5k", "4kb", "999999999999"])
def test_what_is_no_length_is_refused_by_name(written: str) -> None:
    with pytest.raises(UserError, match="is not a context length; write tokens or k-tokens"):
        parse_length(written)


def test_lengths_rise_and_do_not_repeat() -> None:
    assert parse_lengths("8k,2k,2048") == [2048, 8192]


@pytest.mark.parametrize(("tokens", "written"), [(4096, "4k"), (1000, "1000"), (131072, "128k"), (0, "0k")])
def test_a_length_is_written_as_people_say_it(tokens: int, written: str) -> None:
    assert format_length(tokens) == written
    assert parse_length(written) == tokens
