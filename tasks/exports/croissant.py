"""Croissant 1.0: what is in the Parquet files of a bundle, in JSON-LD that machines read.

Source: the Croissant Format Specification 1.0 of MLCommons and its vocabulary for responsible AI (RAI) 1.0.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

import pyarrow as pa

from tasks.exports.webbody_cut import BUNDLE_SCHEMA
from tasks.exports.webbody_facts import BundleFacts
from tasks.schema.columns import IMAGE

_CONTEXT: Final = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataBiases": "cr:dataBiases",
    "dataCollection": "cr:dataCollection",
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "personalSensitiveInformation": "cr:personalSensitiveInformation",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
"""Source: the context of the specification's own examples."""

_PERSONAL: Final = "Pictures of identifiable people: bodies and faces, grouped by person."


def croissant(facts: BundleFacts, title: str, law: Mapping[str, str]) -> bytes:
    """croissant.json of a bundle with Parquet files; equal facts give equal bytes.

    Args:
        law: purpose, legal basis and their like by name.
    """
    said = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": facts.name,
        "alternateName": title,
        "description": f"{facts.rows} pictures of {facts.identities} people: bodies with their faces and keypoints.",
        "license": "README.md#licences",
        "url": "README.md",
        "version": f"1.0.0+{facts.made_from[:16]}",
        "rai:dataUseCases": f"{law['Purpose']} ({law['Jurisdiction']}; {law['Legal basis']})",
        "rai:personalSensitiveInformation": _PERSONAL,
        "distribution": [_files(facts, split) for split in _splits(facts)],
        "recordSet": [_records(split) for split in _splits(facts)],
    }
    return (json.dumps(said, indent=1, ensure_ascii=False) + "\n").encode()


def _splits(facts: BundleFacts) -> list[str]:
    return [split for split, rows in facts.splits.items() if rows]


def _files(facts: BundleFacts, split: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": f"{split}-files",
        "name": f"{split}-files",
        "description": f"{facts.splits[split]} rows.",
        "encodingFormat": "application/x-parquet",
        "includes": f"data/{split}-*.parquet",
    }


def _records(split: str) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": split,
        "name": split,
        "field": [_field(split, column) for column in BUNDLE_SCHEMA],
    }


def _field(split: str, column: pa.Field) -> dict[str, Any]:
    is_image, is_list = column.type == IMAGE, isinstance(column.type, pa.ListType | pa.FixedSizeListType)
    source: dict[str, Any] = {"fileSet": {"@id": f"{split}-files"}, "extract": {"column": column.name}}
    if is_image:
        source["transform"] = {"jsonPath": "bytes"}
    return {
        "@type": "cr:Field",
        "@id": f"{split}/{column.name}",
        "name": column.name,
        "dataType": "sc:ImageObject" if is_image else _type(column.type.value_type if is_list else column.type),
        **({"repeated": True} if is_list else {}),
        "source": source,
    }


def _type(kind: pa.DataType) -> str:
    if pa.types.is_integer(kind):
        return "sc:Integer"
    return "sc:Float" if pa.types.is_floating(kind) else "sc:Text"
