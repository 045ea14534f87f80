"""A software bill of materials of a tree, in CycloneDX or SPDX, as their own libraries write it."""

import io
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import treesmith
from treesmith.errors import Error
from treesmith.inventory import Part

FORMATS = ("cyclonedx", "spdx")
_SPACE = uuid.UUID("6f3c1c7e-1f0d-5b8e-9f57-3f1b7a1d1a55")  # ours: the same tree gives the same document


def sbom(form: str, name: str, id: str, created: int, system: Mapping[str, str], parts: Sequence[Part]) -> str:
    """JSON. id, created (unix seconds): the tree's. system: its os-release(5). Error: the library is not installed."""
    try:
        return (_spdx if form == "spdx" else _cyclonedx)(name, id, created, system, parts)
    except ImportError as error:
        raise Error(
            "the library that writes it is not installed", str(error), "pip install 'treesmith[sbom]'"
        ) from None


def _cyclonedx(name: str, id: str, created: int, system: Mapping[str, str], parts: Sequence[Part]) -> str:
    from cyclonedx.model import HashType
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output.json import JsonV1Dot5

    def component(part: Part) -> Any:
        url = _purl(part, system)
        hashes = [HashType.from_composite_str(part.archive.digest)] if part.archive else []
        kind = ComponentType.CONTAINER if part.type == "oci" else ComponentType.LIBRARY
        return Component(
            name=part.name, version=part.version, type=kind, group=part.namespace or None, purl=url, hashes=hashes,
            bom_ref=str(url),
        )  # fmt: skip

    components = {str(one.purl): one for one in map(component, parts)}  # two venvs may have the same
    bom = Bom(serial_number=uuid.uuid5(_SPACE, id), components=components.values())
    bom.metadata.timestamp = datetime.fromtimestamp(created, UTC)
    bom.metadata.component = Component(name=name, version=id, type=ComponentType.OPERATING_SYSTEM, bom_ref=f"tree:{id}")
    bom.metadata.tools.components.add(
        Component(name="treesmith", version=treesmith.__version__, type=ComponentType.APPLICATION)
    )
    bom.register_dependency(bom.metadata.component, bom.components)
    return str(JsonV1Dot5(bom).output_as_string(indent=1)) + "\n"


def _spdx(name: str, id: str, created: int, system: Mapping[str, str], parts: Sequence[Part]) -> str:
    from spdx_tools.spdx import model
    from spdx_tools.spdx.validation.uri_validators import validate_download_location
    from spdx_tools.spdx.writer.json.json_writer import write_document_to_stream

    unknown = model.SpdxNoAssertion()

    def package(ref: str, part: Part) -> Any:
        sums, place, source = [], unknown, None
        if part.archive:
            algorithm, _, value = part.archive.digest.partition(":")
            sums = [model.Checksum(model.ChecksumAlgorithm[algorithm.upper()], value)]
            source = part.archive.source
            if not validate_download_location(source):  # which takes no host without a dot, and no file:
                place = source
        category = model.ExternalPackageRefCategory.PACKAGE_MANAGER
        url = model.ExternalPackageRef(category, "purl", str(_purl(part, system)))
        full = f"{part.namespace}/{part.name}" if part.namespace else part.name
        return model.Package(
            ref, full, place, version=part.version, files_analyzed=False, checksums=sums,
            license_concluded=unknown, license_declared=unknown, copyright_text=unknown, external_references=[url],
            source_info=source,
        )  # fmt: skip

    tree = model.Package(
        "SPDXRef-tree", name, unknown, version=id, files_analyzed=False, license_concluded=unknown,
        license_declared=unknown, copyright_text=unknown,
    )  # fmt: skip
    packages = [package(f"SPDXRef-{number}", part) for number, part in enumerate(parts, 1)]
    about = model.CreationInfo(
        "SPDX-2.3",
        "SPDXRef-DOCUMENT",
        name,
        f"urn:uuid:{uuid.uuid5(_SPACE, id)}",
        [model.Actor(model.ActorType.TOOL, f"treesmith-{treesmith.__version__}")],
        datetime.fromtimestamp(created, UTC).replace(tzinfo=None),
    )
    relations = [model.Relationship("SPDXRef-DOCUMENT", model.RelationshipType.DESCRIBES, "SPDXRef-tree")]
    relations += [model.Relationship("SPDXRef-tree", model.RelationshipType.CONTAINS, one.spdx_id) for one in packages]
    written = io.StringIO()
    write_document_to_stream(model.Document(about, packages=[tree, *packages], relationships=relations), written)
    return written.getvalue().rstrip() + "\n"


def _purl(part: Part, system: Mapping[str, str]) -> Any:
    """The package URL: purl-spec, "types"."""
    from packageurl import PackageURL

    namespace, version, qualifiers = part.namespace, part.version, {}
    if part.arch:
        qualifiers["arch"] = part.arch
    match part.type:
        case "deb" | "rpm" | "alpm" | "apk":
            namespace = system.get("ID", {"deb": "debian", "rpm": "fedora", "alpm": "arch", "apk": "alpine"}[part.type])
            release = system.get("VERSION_CODENAME") or system.get("VERSION_ID")
            if release:
                qualifiers["distro"] = f"{namespace}-{release}"
        case "oci" if part.archive:
            qualifiers = {"repository_url": part.archive.source, "tag": part.tag}
    if part.type == "rpm" and ":" in version:
        qualifiers["epoch"], _, version = version.partition(":")
    return PackageURL(part.type, namespace or None, part.name, version or None, qualifiers or None)
