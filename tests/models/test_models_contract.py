"""The contract catches the models that break it."""

import numpy as np
import pytest

from tests.models.model_contract import assert_batched_equals_single

INPUTS = [np.full(4, v, float) for v in (1.0, 2.0, 5.0)]


def check(run):
    assert_batched_equals_single(run, INPUTS, lambda result: [result], tolerance=1e-6)


def test_a_model_that_looks_at_each_input_alone_passes():
    check(lambda inputs: [i * 2 for i in inputs])


@pytest.mark.parametrize(
    "run",
    [
        pytest.param(lambda inputs: [i - np.mean(inputs) for i in inputs], id="neighbours change the result"),
        pytest.param(lambda inputs: [i for i in inputs if i[0] != 2], id="fewer results than inputs"),
        pytest.param(lambda inputs: sorted(inputs, key=lambda i: i[0]), id="another order"),
    ],
)
def test_a_model_that_breaks_the_rule_is_caught(run):
    with pytest.raises(AssertionError):
        check(run)
