"""Values as they are typed, and names that stay the same whatever else is compared."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pneumoscope.core.resolve import resolve, with_variant
from pneumoscope.core.vary import check_vary, combinations, folder_name, has_field, label, split_values
from pneumoscope.errors import UsageError
from pneumoscope.recipes import find

SZALAY = find("szalay2021")[0]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a,b", ("a", "b")),
        ("16, 32", ("16", "32")),
        ("[256],[512,256]", ("[256]", "[512,256]")),
        ('["a, b"],["a","c"]', ('["a, b"]', '["a","c"]')),
        ('"a,b",c', ('"a,b"', "c")),
        ('{"rule":"fixed","value":0.3},{"rule":"argmax"}', ('{"rule":"fixed","value":0.3}', '{"rule":"argmax"}')),
        ('"a\\",b",c', ('"a\\",b"', "c")),
        ('"a\\\\",c', ('"a\\\\"', "c")),
        ("(1,2),3", ("(1,2)", "3")),
        ("a],b,[c,d]", ("a]", "b", "[c,d]")),
        ("a,,b", ("a", "", "b")),
        ("", ("",)),
    ],
)
def test_commas_part_values_outside_brackets_and_quotes(text: str, values: tuple[str, ...]) -> None:
    assert split_values(text) == values


values = st.recursive(
    st.integers() | st.booleans() | st.text(st.characters(codec="ascii")), lambda inner: st.lists(inner, max_size=3)
)


@given(st.lists(values, min_size=1, max_size=5))
def test_what_json_writes_is_split_where_it_was_joined(found: list[object]) -> None:
    texts = [json.dumps(value) for value in found]
    assert list(split_values(",".join(texts))) == texts


def test_a_field_is_one_of_some_variants() -> None:
    unfrozen = with_variant(SZALAY, "unfrozen")
    for field in ("stages.unfreeze.epochs", "stages.unfreeze", "stages.unfreeze.optim"):
        assert has_field(unfrozen, field)
        assert not has_field(with_variant(SZALAY, None), field)
    assert not has_field(unfrozen, "stages.unfreeze.epoch")


def test_every_combination_comes_once() -> None:
    assert list(combinations({})) == [{}]
    found = list(combinations({"a": ("1", "2"), "b": ("x", "y", "z")}))
    assert len(found) == 6
    assert found[:2] == [{"a": "1", "b": "x"}, {"a": "1", "b": "y"}]


@pytest.mark.parametrize(
    ("field", "short"),
    [
        ("stages.head.batch", "batch"),
        ("stages.head.head.hidden", "hidden"),
        ("stages.head.net", "net"),
        ("stages.head.seed", "head.seed"),
        ("protocols.honest.seed", "honest.seed"),
        ("protocols.honest.train_share", "train_share"),
        ("stages.head.optim.name", "optim.name"),
        ("prep.resize.size", "resize.size"),
    ],
)
def test_a_label_has_as_much_of_the_path_as_names_one_field(field: str, short: str) -> None:
    assert label({field: "1"}, resolve(SZALAY)) == f"{short}=1"


def test_of_two_stages_a_label_names_the_stage() -> None:
    assert label({"stages.head.batch": "1"}, resolve(SZALAY, variant="unfrozen")) == "head.batch=1"


def test_folders_can_be_named_so_and_differ() -> None:
    assert folder_name("szalay2021:cnn", "") == "szalay2021-cnn"
    assert folder_name("szalay2021:cnn", "batch=4, hidden=[256,512]") == "szalay2021-cnn_batch=4_hidden=256,512"
    odd = folder_name("szalay2021", 'train_on=["../a b"]'), folder_name("szalay2021", 'train_on=["../a-b"]')
    assert len({*odd}) == 2
    for name in (*odd, folder_name("szalay2021", "x" * 400)):
        assert "/" not in name
        assert len(name) < 100


@given(st.text(), st.text())
def test_a_folders_name_is_one_plain_name(title: str, text: str) -> None:
    name = folder_name(title or "a", text)
    assert not set(name) & set('/\\:*?"<>| \0')
    assert not name.startswith(".")


@pytest.mark.parametrize(
    ("vary", "overrides", "says"),
    [
        ({"stages.head.batch": ("16",)}, {}, "expected at least two values, none empty, found '16'"),
        ({"stages.head.batch": ("",)}, {}, "none empty, found nothing"),
        ({"stages.head.batch": ("16", "")}, {}, "none empty, found '16', ''"),
        ({"stages.head.batch": ("1", "2")}, {"stages.head.batch": "3"}, "that --set leaves alone, found it in both"),
    ],
)
def test_a_field_with_too_few_values_or_set_as_well_is_an_error(
    vary: dict[str, tuple[str, ...]], overrides: dict[str, str], says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        check_vary(vary, overrides)
