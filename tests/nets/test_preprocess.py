"""How pixels become a network's input: values, their text form, their digest."""

from __future__ import annotations

import json
import re
from dataclasses import FrozenInstanceError, fields, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decaf.errors import DecafError, NetError, UnknownName
from decaf.nets.preprocess import LARGEST_SIDE, Preprocess, parse_preprocess

BASE = Preprocess(size=256, crop=224, mean=(127.0, 126.0, 125.0), std=(128.0, 64.0, 32.0))
CHANGES: dict[str, Any] = {
    "size": 257,
    "crop": 223,
    "mean": (127.0, 126.0, 125.5),
    "std": (128.0, 64.0, 32.5),
    "resize": "warp",
    "channels": "BGR",
    "interpolation": "bilinear",
    "orientation": "upside-down",
}

finite = st.floats(-1e6, 1e6)
nonzero = st.one_of(st.floats(1e-3, 1e6), st.floats(-1e6, -1e-3))


@st.composite
def preprocesses(draw: st.DrawFn) -> Preprocess:
    size = draw(st.integers(1, LARGEST_SIDE))
    return Preprocess(
        size=size,
        crop=draw(st.integers(1, size)),
        mean=draw(st.tuples(finite, finite, finite)),
        std=draw(st.tuples(nonzero, nonzero, nonzero)),
        resize=draw(st.sampled_from(["warp", "short-side", "square"])),
        channels=draw(st.sampled_from(["RGB", "BGR"])),
        interpolation=draw(st.sampled_from(["bicubic", "bilinear"])),
        orientation=draw(st.sampled_from(["upright", "upside-down"])),
    )


def as_text(value: Preprocess) -> str:
    triples = {key: "/".join(map(repr, getattr(value, key))) for key in ("mean", "std")}
    texts = {"orientation": value.orientation} | value.to_dict() | triples
    return ",".join(f"{key}={text}" for key, text in texts.items())


@settings(deadline=None)
@given(preprocesses())
def test_survives_a_round_trip_through_json(value: Preprocess) -> None:
    again = Preprocess.from_dict(json.loads(json.dumps(value.to_dict())))
    assert again == value
    assert again.digest() == value.digest()


@settings(deadline=None)
@given(preprocesses(), st.integers(1, LARGEST_SIDE))
def test_survives_a_round_trip_through_text(value: Preprocess, crop: int) -> None:
    assert parse_preprocess(as_text(value), crop) == value
    assert parse_preprocess(as_text(value), crop, BASE) == value


@pytest.mark.parametrize("field", CHANGES)
def test_digest_changes_with_each_field(field: str) -> None:
    assert replace(BASE, **{field: CHANGES[field]}).digest() != BASE.digest()


def test_every_field_is_covered_by_the_digest_test() -> None:
    assert {*CHANGES, "mean_image"} == {field.name for field in fields(Preprocess)}


def test_digest_does_not_tell_whole_numbers_from_floats() -> None:
    whole = replace(BASE, mean=(127, 126, 125), std=(128, 64, 32))
    assert whole == BASE
    assert whole.digest() == BASE.digest()


@settings(deadline=None)
@given(preprocesses())
def test_digest_is_sixteen_hexadecimal_digits(value: Preprocess) -> None:
    assert re.fullmatch("[0-9a-f]{16}", value.digest())


def test_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        BASE.size = 300  # type: ignore[misc]


@pytest.mark.parametrize("resize", ["warp", "short-side", "square"])
def test_with_resize_changes_the_rule_and_nothing_else(resize: str) -> None:
    assert BASE.with_resize(resize).to_dict() == BASE.to_dict() | {"resize": resize}


def test_with_resize_default_changes_nothing() -> None:
    warped = BASE.with_resize("warp")
    assert warped.with_resize("default") is warped


def test_with_resize_of_an_unknown_rule_lists_the_known_ones() -> None:
    with pytest.raises(UnknownName, match=r"stretch.*warp, short-side"):
        BASE.with_resize("stretch")


def test_torchvision_means_torchvisions_values() -> None:
    assert parse_preprocess("torchvision", 224) == Preprocess(
        size=256,
        crop=224,
        mean=(123.675, 116.28, 103.53),
        std=(58.395, 57.12, 57.375),
        resize="short-side",
        channels="RGB",
        interpolation="bilinear",
    )


def test_torchvision_never_resizes_below_the_crop() -> None:
    assert parse_preprocess("torchvision", 299) == replace(parse_preprocess("torchvision", 224), size=299, crop=299)


def test_what_follows_torchvision_overrides_it() -> None:
    torchvision = parse_preprocess("torchvision", 224)
    assert parse_preprocess(" torchvision , size=232, resize=warp", 224) == replace(
        torchvision, size=232, resize="warp"
    )


def test_one_number_serves_all_channels() -> None:
    value = parse_preprocess("mean=127,std=128.5", 96)
    assert (value.mean, value.std) == ((127.0,) * 3, (128.5,) * 3)


def test_size_and_crop_default_to_the_input_side() -> None:
    assert parse_preprocess("mean=0,std=1", 96) == Preprocess(size=96, crop=96, mean=(0, 0, 0), std=(1, 1, 1))


@pytest.mark.parametrize("field", CHANGES)
def test_what_is_not_given_stays_as_in_the_base(field: str) -> None:
    wanted = replace(BASE, **{field: CHANGES[field]})
    part = next(part for part in as_text(wanted).split(",") if part.startswith(f"{field}="))
    assert parse_preprocess(part, 224, BASE) == wanted


@pytest.mark.parametrize(
    ("text", "kind", "named"),
    [
        ("", UnknownName, "''"),
        ("imagenet", UnknownName, "'imagenet'"),
        ("size", UnknownName, "'size'"),
        ("brightness=3", UnknownName, "'brightness=3'"),
        ("mean=0,,std=1", UnknownName, "''"),
        ("mean=0,std=1,resize=stretch", UnknownName, "'stretch'"),
        ("mean=0,std=1,channels=GRB", UnknownName, "'GRB'"),
        ("mean=0,std=1,interpolation=nearest", UnknownName, "'nearest'"),
        ("size=256", NetError, "mean"),
        ("mean=0", NetError, "std"),
        ("mean=0,std=0", NetError, "zeros"),
        ("mean=1/2,std=1", NetError, "three"),
        ("mean=1/2/3/4,std=1", NetError, "three"),
        ("mean=grey,std=1", NetError, "grey"),
        ("mean=0,std=1,size=big", NetError, "big"),
        ("mean=0,std=1,size=95", NetError, "95 px"),
        ("mean=0,std=1,crop=0", NetError, "0 px"),
        ("mean=0,std=1,crop=-1", NetError, "-1 px"),
        ("mean=0,std=1,size=4097", NetError, "4097 px"),
        ("mean=0,std=1,size=" + "9" * 5000, NetError, "size"),
        ("mean=nan,std=1", NetError, "nan"),
        ("mean=0,std=inf", NetError, "inf"),
    ],
)
def test_a_wrong_text_is_refused_in_one_line_that_names_what_is_wrong(
    text: str, kind: type[DecafError], named: str
) -> None:
    with pytest.raises(kind, match=named) as caught:
        parse_preprocess(text, 96)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        {"size": None},
        {"size": "big"},
        {"size": []},
        {"size": float("nan")},
        {"size": float("inf")},
        {"mean": None},
        {"mean": 127.0},
        {"mean": "123"},
        {"mean": {"1": 0, "2": 0, "3": 0}},
        {"mean": [0, 0]},
        {"mean": [0, 0, "a"]},
        {"mean": [0, 0, None]},
        {"mean": [0, 0, 10**400]},
        {"mean": [0, 0, float("nan")]},
        {"std": [1, 1, float("inf")]},
        {"std": [1, 1, 0]},
        {"std": [1, 1, -0.0]},
        {"brightness": 1},
    ],
    ids=lambda change: str(change)[:40],
)
def test_values_of_the_wrong_kind_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(NetError):
        Preprocess.from_dict(BASE.to_dict() | change)


@pytest.mark.parametrize("field", ["size", "crop", "mean", "std"])
def test_a_missing_field_is_named(field: str) -> None:
    values = {key: value for key, value in BASE.to_dict().items() if key != field}
    with pytest.raises(NetError, match=field):
        Preprocess.from_dict(values)


def test_fields_with_one_usual_value_may_be_left_out() -> None:
    values = {key: value for key, value in BASE.to_dict().items() if key in ("size", "crop", "mean", "std")}
    assert Preprocess.from_dict(values) == BASE
