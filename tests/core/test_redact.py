from hypothesis import given
from hypothesis import strategies as st

from vectis.core.redact import one_line


@given(st.text(st.characters(codec=None, categories=None)), st.integers(1, 300))
def test_the_result_is_always_one_printable_line_within_the_limit(text: str, limit: int) -> None:
    line = one_line(text, limit)
    assert len(line) <= limit
    assert line.isprintable()


def test_a_fitting_line_stays_as_it_is() -> None:
    assert one_line("vectis.orders/0@41: späti  €") == "vectis.orders/0@41: späti  €"


def test_line_breaks_become_spaces() -> None:
    assert one_line("a\r\nb\u2028c\td") == "a b c d"


def test_a_cut_shows_even_when_only_whitespace_was_cut_away() -> None:
    assert one_line("a" + " " * 5000 + "b", limit=10) == "a…"


def test_a_huge_text_is_cut() -> None:
    assert one_line("x" * 10_000_000, limit=20) == "x" * 19 + "…"
