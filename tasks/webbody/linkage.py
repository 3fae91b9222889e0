"""Whose every face is, where no torch is: from the manifest of a build alone.

Keys of photos, people and faces cover the runtimes that made them, which another machine need not have. A manifest
names what was made; the identities made of it have the key that the flow `webbody` looks for, wherever it goes on.
"""

from pydantic import Field

from tasks.machine.places import Machine
from tasks.schema.errors import ConfigError, UnreadableError
from tasks.schema.forms import Form
from tasks.shards.derive import Derivation, Made
from tasks.shards.manifest import read_manifest
from tasks.webbody.build import UNFINISHED
from tasks.webbody.config import IdentityRules, RecognitionRules
from tasks.webbody.joined import Previous, identities_of


class LinkageForm(Form):
    """Parameters of the flow `webbody_linkage`."""

    build: str = Field(
        "",
        title="Build",
        pattern=r"^([0-9a-f]{64})?$",
        description="Manifest of a run of webbody until its neighbours; empty: the latest.",
    )


def linkage_of(form: LinkageForm, machine: Machine) -> Derivation:
    """The identities of a build that has come to its neighbours.

    Raises:
        UnreadableError: there is no such build.
        ConfigError: it has no neighbours yet.
    """
    try:
        manifest = read_manifest(machine.store, UNFINISHED, form.build)
    except UnreadableError as error:
        raise UnreadableError(f"{error} Run webbody until its neighbours first (config.until: neighbours).") from error
    if not {"gated", "neighbours"} <= manifest.outputs.keys():
        raise ConfigError(
            "This build of webbody has no neighbours yet: run it until there first (config.until: neighbours)."
        )
    gated, neighbours = (tuple(Made(ref) for ref in manifest.outputs[name]) for name in ("gated", "neighbours"))
    params = manifest.params
    before = Previous.model_validate(params["previous"]).identities
    return identities_of(
        IdentityRules.model_validate(params["identities"]),
        RecognitionRules.model_validate(params["recognition"]),
        machine,
        gated,
        (*neighbours, *(Made(ref) for ref in before)),
    )
