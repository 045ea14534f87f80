"""Images written blob by blob as OCI layouts, whose parts a test can spoil."""

import hashlib
import json
from pathlib import Path
from typing import Any

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
Document = dict[str, Any]


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class Written:
    """A layout in `folder`. What makes a blob returns its descriptor."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "blobs/sha256").mkdir(parents=True)
        (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')

    def blob(self, data: bytes, media: str = LAYER) -> Document:
        self.path(digest(data)).write_bytes(data)
        return {"mediaType": media, "digest": digest(data), "size": len(data)}

    def json(self, document: object, media: str) -> Document:
        return self.blob(json.dumps(document).encode(), media)

    def image(self, *layers: Document, diffs: object, **more: object) -> Document:
        """Of layers that are blobs already. more: of the configuration."""
        root = {"type": "layers", "diff_ids": diffs}
        config = {"architecture": "amd64", "os": "linux", "rootfs": root, **more}
        return self.manifest(self.json(config, CONFIG), *layers)

    def manifest(self, config: object, *layers: Document, **more: object) -> Document:
        document = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers, **more}
        return self.json(document, MANIFEST)

    def index(self, *listed: Document) -> None:
        (self.folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": listed}))

    def path(self, digest: str) -> Path:
        return self.folder / "blobs" / digest.replace(":", "/")


def named(tag: str) -> Document:
    return {"annotations": {"org.opencontainers.image.ref.name": tag}}
