"""What a step with a network takes along from treesmith's caller, so that fetching works behind a proxy or a company's
certificate authority. None of it is in a key or stays in a tree.
"""

import os
from collections.abc import Mapping
from typing import NamedTuple

from treesmith.steps.room import PASSING

BUNDLE = f"{PASSING}/certificates.crt"
_PROXIES = ("http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy")
# Who names a bundle of certificates to the caller's own programs, the general before the particular.
_NAMED_BY = ("SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "NODE_EXTRA_CA_CERTS")
# What the programs inside read: OpenSSL, Python; curl; requests; pip; node; npm; git; cargo.
_TOLD_BY = (
    "SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "NODE_EXTRA_CA_CERTS", "npm_config_cafile",
    "GIT_SSL_CAINFO", "CARGO_HTTP_CAINFO",
)  # fmt: skip


class Outfit(NamedTuple):
    env: Mapping[str, str]
    files: tuple[tuple[str, bytes], ...]  # to be laid over paths inside

    @property
    def bundle(self) -> str:
        """The path inside of the caller's certificates, or "": the tree's own will do."""
        return self.files[0][0] if self.files else ""


def outfit(caller: Mapping[str, str]) -> Outfit:
    """`caller`: the environment of treesmith's caller. A bundle it names that cannot be read is passed over."""
    env = {name: value for name, value in caller.items() if name.lower() in _PROXIES and value}
    if path := certificates(caller):
        with open(path, "rb") as file:
            return Outfit({**env, **dict.fromkeys(_TOLD_BY, BUNDLE)}, ((BUNDLE, file.read()),))
    return Outfit(env, ())


def certificates(caller: Mapping[str, str]) -> str:
    """The path of the bundle of certificates that the caller's own programs use, if a variable names one, else ""."""
    named = (caller.get(name, "") for name in _NAMED_BY)
    return next((path for path in named if path.startswith("/") and os.path.isfile(path)), "")
