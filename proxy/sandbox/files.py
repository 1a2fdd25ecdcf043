"""
What a user of this sandbox needs on disk: credential files and a complete proxy.yaml.

All of it with mode 0600, in a directory of mode 0700 if it is made here.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from string import Template
from typing import TYPE_CHECKING

from proxy.sandbox.scopes import ZITADEL_AUD

if TYPE_CHECKING:
    from pathlib import Path

    from proxy.core.secret import Secret

KEY_FILE = "provisioner.json"
SECRET_FILE = "reporter.secret"
PAT_FILE = "dev.pat"
EXCHANGER_FILE = "exchanger.secret"
CONFIG_FILE = "proxy.yaml"

CONFIG = Template("""\
# A proxy for one sandbox: three service users, one for each method.
version: 1

listen:
  - address: $listen
admin: $admin

issuers:
  zitadel:
    url: $issuer

service_users:
  provisioner:                  # signs a short-lived JWT with its own key
    issuer: zitadel
    method: private_key_jwt
    key_file: $key_file
    scopes: [openid, "$zitadel_aud"]
  reporter:                     # shows a client id and secret
    issuer: zitadel
    method: client_credentials
    client_id: reporter
    client_secret: {file: $secret_file}
    scopes: [openid, profile]
    audience_projects: ["$project"]   # the backend's project: it introspects
  dev:                          # holds a token made by hand
    issuer: zitadel
    method: personal_access_token
    token: {file: $pat_file}

routes:
  # ZITADEL's own APIs
  - {name: zitadel-api, match: {path: /management/v1/}, upstream: $issuer, service_user: provisioner}
  - {name: zitadel-auth, match: {path: /auth/v1/}, upstream: $issuer, service_user: provisioner}
  - {name: zitadel-v2, match: {path: /v2/}, upstream: $issuer, service_user: provisioner}
  - {name: zitadel-users, match: {path: /zitadel.user.v2.UserService/}, upstream: $issuer, service_user: provisioner}
  # The same APIs with the personal access token: /dev/auth/v1/users/me becomes /auth/v1/users/me
  - {name: dev-api, match: {path: /dev/}, upstream: $issuer, rewrite_path: /, service_user: dev}
  # The protected backend
  - {name: orders, match: {path: /orders/}, upstream: $backend, service_user: reporter}
  - {name: echo, match: {path: /echo}, upstream: $backend, service_user: reporter}
  - {name: bytes, match: {path: /bytes/}, upstream: $backend, service_user: reporter}
  - {name: upload, match: {path: /upload}, upstream: $backend, service_user: dev}
  - {name: sse, match: {path: /sse}, upstream: $backend, service_user: reporter}
  - {name: slow, match: {path: /slow}, upstream: $backend, service_user: reporter}
  - {name: status, match: {path: /status/}, upstream: $backend, service_user: reporter}
""")


@dataclass(frozen=True, slots=True)
class SandboxFiles:
    """
    What goes into the files.

    Attributes:
        issuer: The issuer identifier.
        backend: The backend's origin.
        project: Id of the backend's project.
        key_json: Key file of `provisioner`.
        client_secret: Client secret of `reporter`.
        pat: Personal access token of `dev`.
        exchanger_secret: Client secret of the application that may exchange tokens; the
            configuration does not use it.
    """

    issuer: str
    backend: str
    project: str
    key_json: Secret
    client_secret: Secret
    pat: Secret
    exchanger_secret: Secret

    def write(self, directory: Path, *, listen: str, admin: str) -> Path:
        """
        Write the files, over those of an earlier sandbox, and return proxy.yaml's path.

        Args:
            directory: Where; made if it is not there.
            listen: Address of the proxy's listener.
            admin: Address of its admin listener, or `off`.
        """
        directory = directory.resolve()
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        # ZITADEL itself ends such files with a newline, so readers must strip it.
        _write(directory / KEY_FILE, self.key_json.reveal() + "\n")
        _write(directory / SECRET_FILE, self.client_secret.reveal() + "\n")
        _write(directory / PAT_FILE, self.pat.reveal() + "\n")
        _write(directory / EXCHANGER_FILE, self.exchanger_secret.reveal() + "\n")
        config = CONFIG.substitute(
            listen=json.dumps(listen),
            admin=json.dumps(admin),
            issuer=json.dumps(self.issuer),
            backend=json.dumps(self.backend),
            project=self.project,
            zitadel_aud=ZITADEL_AUD,
            key_file=json.dumps(str(directory / KEY_FILE)),
            secret_file=json.dumps(str(directory / SECRET_FILE)),
            pat_file=json.dumps(str(directory / PAT_FILE)),
        )
        _write(directory / CONFIG_FILE, config)
        return directory / CONFIG_FILE


def _write(path: Path, text: str) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    descriptor = os.open(path, flags, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(descriptor, 0o600)  # an older file keeps its mode otherwise
        file.write(text)
