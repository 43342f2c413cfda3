"""Notes of many files, brought together."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pneumoscope.train.notes import together


def test_notes_that_differ_in_their_numbers_are_one_with_the_least_and_the_greatest() -> None:
    found = together(
        {
            "Slices of 5 mm are 21.8 mm apart: what lies between them is not judged.": 1,
            "Slices of 5 mm are 9.5 mm apart: what lies between them is not judged.": 2,
            "Slices of 5 mm are 27 mm apart: what lies between them is not judged.": 1,
            "No slice has a position.": 3,
        },
        18,
        "studies",
    )
    assert found == [
        "3 of 18 studies: No slice has a position.",
        "4 of 18 studies: Slices of 5 mm are 9.5 to 27 mm apart: what lies between them is not judged.",
    ]


def test_numbers_in_names_and_versions_are_part_of_the_words() -> None:
    notes = {"Kernel B30f.": 1, "Kernel B60f.": 1, "Syntax 1.2.840.": 1, "Syntax 1.2.841.": 1, "in 2-3 parts": 1}
    assert len(together(notes, 5, "images")) == 5


def test_one_note_stays_as_it_is() -> None:
    assert together({"It is 8 bit.": 1204}, 2000, "images") == ["1,204 of 2,000 images: It is 8 bit."]
    assert together({}, 3, "images") == []


@given(st.dictionaries(st.integers(0, 10**6), st.integers(1, 9), min_size=1))
def test_every_file_is_counted_once_whatever_the_numbers(counts: dict[int, int]) -> None:
    (line,) = together({f"{n} mm apart": count for n, count in counts.items()}, 99, "studies")
    span = f"{min(counts)} to {max(counts)}" if len(counts) > 1 else f"{min(counts)}"
    assert line == f"{sum(counts.values()):,} of 99 studies: {span} mm apart"
