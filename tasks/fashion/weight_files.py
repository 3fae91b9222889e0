"""Files of weights: read without running what they hold, and put into a network that they must fit exactly."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tasks.schema.errors import ModelError

State = dict[str, Any]
"""Name of a parameter or buffer -> tensor."""

_NAMED: Final = 3
"""Weights of each kind that a message names."""


def read_state(path: Path) -> State:
    """The tensors of a .safetensors or PyTorch file; of a training run's checkpoint the averaged ones, if it has them.

    Raises:
        ModelError: the file is damaged, or holds more than tensors.
    """
    import torch
    from timm.models import load_state_dict

    try:
        state = load_state_dict(str(path), weights_only=True)
    except Exception as error:  # safetensors, zipfile and pickle have no common base of their errors
        said = str(error).partition("\n")[0]
        raise ModelError(
            f"{path} is damaged, or holds more than weights ({said}): save the state dict alone, best as .safetensors."
        ) from error
    strange = [name for name, value in state.items() if not isinstance(value, torch.Tensor)]
    if strange or not state:
        raise ModelError(f"{path} holds no state dict: {_listed(strange) or 'it is empty'}.")
    return dict(state)


def without(state: Mapping[str, Any], parts: Sequence[str]) -> State:
    """The tensors that belong to none of the parts of a network that are named."""
    heads = tuple(f"{part}." for part in parts)
    return {name: value for name, value in state.items() if not name.startswith(heads)}


def fill(network: Any, state: State, path: Path, called: str) -> Any:
    """Put weights into a network, which then is in eval mode; every weight has to have its place.

    Args:
        called: what messages call the network.
    Raises:
        ModelError: weights are missing, unknown, or of another shape; the message names some.
    """
    wanted = network.state_dict()
    counters = {name for name in wanted if name.endswith(".num_batches_tracked")}  # old files lack them; not used
    wrong = {
        "missing": sorted(wanted.keys() - counters - state.keys()),
        "not known to it": sorted(state.keys() - wanted.keys()),
        "of another shape": sorted(n for n in wanted.keys() & state.keys() if wanted[n].shape != state[n].shape),
    }
    if any(wrong.values()):
        said = "; ".join(f"{len(names)} {kind}: {_listed(names)}" for kind, names in wrong.items() if names)
        raise ModelError(
            f"{path} is not a file of weights for {called}. {said}. Choose the right architecture or file."
        )
    network.load_state_dict(state, strict=False)
    return network.eval()


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (" ..." if len(names) > _NAMED else "")
