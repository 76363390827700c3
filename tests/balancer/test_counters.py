"""Rows of one growing array."""

from hypothesis import given
from hypothesis import strategies as st

from balancer import ACTIVE, COLUMNS, Counters


def test_active_is_the_first_column() -> None:
    """The pool's hot path reads it at the row's offset itself."""
    assert ACTIVE == 0


def test_a_row_is_zero_when_allocated_again() -> None:
    counters = Counters()
    row = counters.allocate()
    for column in range(COLUMNS):
        counters.values[row + column] = -7
    counters.free(row)
    assert counters.allocate() == row
    assert counters.values[row : row + COLUMNS].tolist() == [0] * COLUMNS


def test_the_array_is_the_same_object_after_it_grew() -> None:
    counters = Counters()
    values = counters.values
    rows = [counters.allocate() for _ in range(1000)]
    assert counters.values is values
    values[rows[-1]] += 2**62
    assert counters.values[rows[-1]] == 2**62


@given(st.lists(st.booleans()))
def test_no_two_owners_share_a_row(steps: list[bool]) -> None:
    counters = Counters()
    owned: list[int] = []
    for allocate in steps:
        if allocate:
            owned.append(counters.allocate())
        elif owned:
            counters.free(owned.pop(0))
        assert len(set(owned)) == len(owned)
        assert all(row % COLUMNS == 0 and row + COLUMNS <= len(counters.values) for row in owned)
