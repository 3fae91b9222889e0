"""The file holds what was learned, nothing that could run, and no trace of when and where it was made."""

import json
from io import BytesIO
from zipfile import ZipFile

import numpy as np
import pytest
import skops.io
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import make_pipeline

from tasks.fashion.classifier_file import TYPES, Classifier, Heads, _types, from_bytes, to_bytes
from tasks.schema.errors import ModelError
from tasks.schema.fashion import CATEGORIES, GARMENTS
from tests.fashion.planted import classifier_of, planted


@pytest.fixture(scope="module", params=[(2, False), (3, True)], ids=["two categories", "three categories and garments"])
def classifier(request: pytest.FixtureRequest) -> Classifier:
    categories, garments = request.param
    return classifier_of(categories, garments=garments)


def test_skops_alone_reads_it_and_gives_our_probabilities(classifier: Classifier) -> None:
    data = to_bytes(classifier)
    assert skops.io.get_untrusted_types(data=data) == []
    read = skops.io.loads(data, trusted=[])
    embeddings = planted(50, seed=1).labelled.embeddings
    categories, garments = Heads.of(from_bytes(data)).probabilities(embeddings)
    wide = embeddings.astype(np.float64)
    learned_ones = [CATEGORIES.index(name) for name in read["category"].classes_]
    np.testing.assert_allclose(categories[:, learned_ones], read["category"].predict_proba(wide), atol=1e-12)
    assert np.isnan(np.delete(categories, learned_ones, axis=1)).all()
    for name, column in zip(GARMENTS, garments.T, strict=True):
        if name in read["garments"]:
            np.testing.assert_allclose(column, read["garments"][name].predict_proba(wide)[:, 1], atol=1e-12)
        else:
            assert np.isnan(column).all()


def test_equal_classifiers_are_equal_bytes(classifier: Classifier) -> None:
    data = to_bytes(classifier)
    assert to_bytes(from_bytes(data)) == data
    with ZipFile(BytesIO(data)) as file:
        assert {entry.date_time for entry in file.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_it_holds_our_types_and_no_others(classifier: Classifier) -> None:
    with ZipFile(BytesIO(to_bytes(classifier))) as file:
        assert _types(json.loads(file.read("schema.json"))) == TYPES


def test_strange_and_damaged_files_are_refused(classifier: Classifier) -> None:
    strange = make_pipeline(SGDClassifier()).fit(np.eye(2), [0, 1])
    with pytest.raises(ModelError, match="SGDClassifier"):
        from_bytes(skops.io.dumps({"category": strange}))
    with pytest.raises(ModelError, match="damaged"):
        from_bytes(skops.io.dumps({"category": 1}))
    with pytest.raises(ModelError, match="damaged"):
        from_bytes(to_bytes(classifier)[:-100])
    with pytest.raises(ModelError, match="other labels"):
        from_bytes(to_bytes(Classifier("planted", classifier.category, {"hat": classifier.category}, None)))
