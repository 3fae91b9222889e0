"""Pictures of the report."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from tasks.fashion.classifier_pictures import confusion_picture, reliability_picture
from tasks.fashion.classifier_report import ClassifierReport
from tests.fashion.planted import learned, planted


def test_the_report_is_json_and_its_pictures_are_the_same_every_time() -> None:
    labelled = planted(200, shares=(1, 1), garments=False).labelled
    _, measured = learned(labelled)
    report = ClassifierReport.model_validate_json(measured.model_dump_json())
    assert report == measured
    pictures = [confusion_picture(report), reliability_picture(report)]
    for data in pictures:
        assert np.asarray(Image.open(BytesIO(data)).convert("L")).std() > 10
    assert reliability_picture(report) == pictures[1]


@pytest.mark.slow
def test_without_a_test_fold_there_are_pictures_too() -> None:
    labelled = planted(200, shares=(1, 1), garments=False).labelled
    _, report = learned(labelled.of(~labelled.test))
    assert confusion_picture(report)
    assert reliability_picture(report)
