"""`DeCAF` is a scikit-learn transformer over paths and arrays."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC
from sklearn.utils.estimator_checks import check_parameters_default_constructible
from sklearn.utils.validation import check_is_fitted

import decaf
from decaf.errors import BrokenPicture, ImageError, UnknownName
from decaf.nets.net import Net


@pytest.fixture
def intact(pictures: Path) -> list[str]:
    return sorted(str(path) for path in pictures.rglob("*.png"))


def test_paths_and_arrays_give_what_extract_gives(intact: list[str], lite0: Net) -> None:
    expected = decaf.extract(intact, lite0).X("pool")
    arrays = [np.asarray(Image.open(path).convert("RGB")) for path in intact]
    transformer = decaf.DeCAF()
    np.testing.assert_array_equal(transformer.fit_transform(intact), expected)
    np.testing.assert_array_equal(transformer.transform(arrays), expected)
    np.testing.assert_array_equal(transformer.transform([Path(intact[0]), arrays[1]]), expected[:2])
    assert transformer.transform(intact).dtype == np.float32


def test_rows_follow_the_order_of_a_series_whatever_its_index(intact: list[str]) -> None:
    shuffled = pd.Series(intact).iloc[[2, 0, 1]]
    transformer = decaf.DeCAF()
    np.testing.assert_array_equal(transformer.transform(shuffled), transformer.transform(intact)[[2, 0, 1]])
    np.testing.assert_array_equal(transformer.transform(pd.Series(intact)[1:]), transformer.transform(intact)[1:])


def test_a_single_path_is_refused(intact: list[str]) -> None:
    with pytest.raises(ImageError, match="give a list"):
        decaf.DeCAF().transform(intact[0])


def test_minus_one_is_all_cores_as_everywhere_in_scikit_learn() -> None:
    pictures = np.zeros((1, 9, 9, 3), np.uint8)
    np.testing.assert_array_equal(decaf.DeCAF(n_jobs=-1).transform(pictures), decaf.DeCAF().transform(pictures))
    with pytest.raises(UnknownName, match="-3 threads"):
        decaf.DeCAF(n_jobs=-3).fit([])


def test_a_four_dimensional_array_is_a_batch() -> None:
    batch = np.random.default_rng(0).integers(0, 256, (3, 50, 40, 3), dtype=np.uint8)
    transformer = decaf.DeCAF(layer="prob")
    np.testing.assert_array_equal(transformer.transform(batch), transformer.transform(list(batch)))


def test_clone_and_parameters() -> None:
    transformer = decaf.DeCAF(net="efficientnet-lite0", layer="fc", precision="f32", resize="warp", n_jobs=1)
    assert clone(transformer.fit([])).get_params() == transformer.get_params()
    transformer.set_params(layer="pool")
    assert transformer.transform(np.zeros((1, 9, 9, 3), np.uint8)).shape == (1, 1280)
    transformer.set_params(layer="fc")
    assert transformer.transform(np.zeros((1, 9, 9, 3), np.uint8)).shape == (1, 1000)
    check_parameters_default_constructible("DeCAF", decaf.DeCAF())
    check_is_fitted(decaf.DeCAF())


def test_works_in_a_pipeline_and_through_pickle(intact: list[str]) -> None:
    model = make_pipeline(decaf.DeCAF(), LinearSVC(C=10)).fit(intact, ["a", "b", "a"])
    again = pickle.loads(pickle.dumps(model))
    assert again.predict(intact).tolist() == model.predict(intact).tolist() == ["a", "b", "a"]
    assert len(pickle.dumps(model[0])) < 2000


def test_nothing_in_nothing_out() -> None:
    assert decaf.DeCAF().transform([]).shape == (0, 1280)


def test_output_names() -> None:
    names = decaf.DeCAF().get_feature_names_out()
    assert len(names) == 1280 and names[0] == "pool_0"


def test_a_broken_picture_is_named(pictures: Path) -> None:
    with pytest.raises(BrokenPicture, match=r"cat/2\.jpg"):
        decaf.DeCAF().transform([str(pictures / "cat" / "2.jpg")])
    for wrong in (np.zeros((5, 5), np.uint8), np.zeros((5, 5, 3)), np.zeros((0, 5, 3), np.uint8)):
        with pytest.raises(BrokenPicture, match=r"picture 0: .*give \(h, w, 3\) uint8 RGB"):
            decaf.DeCAF().transform([wrong])


def test_a_wrong_parameter_is_found_by_fit() -> None:
    with pytest.raises(UnknownName, match="did you mean"):
        decaf.DeCAF(layer="pol").fit([])
