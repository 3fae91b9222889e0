"""The rule that every model of the project keeps; call it from the tests of each."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

In = TypeVar("In")
Out = TypeVar("Out")


def assert_batched_equals_single(
    run: Callable[[Sequence[In]], Sequence[Out]],
    inputs: Sequence[In],
    as_arrays: Callable[[Out], Sequence[NDArray[np.floating]]],
    *,
    tolerance: float,
) -> None:
    """As many results as inputs, and each the same whatever its neighbours are.

    Args:
        run: the model, on any number of inputs.
        inputs: at least three, of different sizes where the model takes different sizes.
        as_arrays: what counts of one result.
        tolerance: absolute, in the units of `as_arrays`; 0 where bytes must be equal.
    """
    assert len(inputs) >= 3, "the rule needs neighbours"
    assert len(run([])) == 0
    alone = [as_arrays(_only(run([one]))) for one in inputs]
    for order in (range(len(inputs)), reversed(range(len(inputs)))):
        indices = list(order)
        together = run([inputs[i] for i in indices])
        assert len(together) == len(inputs)
        for index, result in zip(indices, together, strict=True):
            arrays = as_arrays(result)
            assert [a.shape for a in arrays] == [a.shape for a in alone[index]], f"input {index}"
            for got, expected in zip(arrays, alone[index], strict=True):
                np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance, err_msg=f"input {index}")


def _only(results: Sequence[Out]) -> Out:
    assert len(results) == 1
    return results[0]
