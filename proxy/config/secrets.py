"""
Reading a secret: from a file, a variable, or systemd's credentials.

A file is opened once and judged by its descriptor, so what was checked is what is read. Links are
followed: Kubernetes mounts every secret as one. What can be wrong is a `CredentialInvalid` whose
reason says what to do and holds neither the secret nor the path or name it was looked for under,
since a secret pasted in their place would stand there.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from proxy.config.secret_source import SecretCredential, SecretEnv, SecretFile, SecretSource
from proxy.core.secret import Secret
from proxy.errors import CredentialInvalid

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_BYTES: Final = 64 * 1024
"""Size cap of a secret's file: the largest RSA key in use needs a tenth."""

ABSENT: Final = "the file does not exist"

# RFC 6749 appendix A.2: client-secret = *VSCHAR, VSCHAR = %x20-7E.
_LINE: Final = re.compile(r"[\x20-\x7e]+")

# RFC 6750 §2.1: b64token = 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"=".
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")


def read(source: SecretSource, base: Path, environ: Mapping[str, str]) -> Secret:
    """
    Return the secret: one line of visible ASCII, without the blanks around it.

    Args:
        source: Where it comes from.
        base: Folder that a relative path starts from.
        environ: The environment.

    Raises:
        CredentialInvalid: It is not there, not safe, or not one line of text.
    """
    text = _fetch(source, base, environ).reveal().strip()
    if not text:
        raise CredentialInvalid("the secret is empty; put it there")
    if not _LINE.fullmatch(text):
        raise CredentialInvalid(
            "the secret is not one line of ASCII text; store nothing else there"
        )
    return Secret(text)


def read_token(source: SecretSource, base: Path, environ: Mapping[str, str]) -> Secret:
    """
    Return a secret that is sent as a Bearer token, and can be.

    Raises:
        CredentialInvalid: As `read`, and if it holds characters a header's token cannot.
    """
    secret = read(source, base, environ)
    if not _TOKEN.fullmatch(secret.reveal()):
        raise CredentialInvalid('the secret is not a bare token; store it alone, without "Bearer"')
    return secret


def read_file(path: Path, base: Path) -> Secret:
    """
    Return the text of a file that must be private, without the blanks around it.

    Raises:
        CredentialInvalid: As `read`; a file that others may read is refused too.
    """
    return Secret(_load(base / path, private=True))


def read_public(path: Path, base: Path) -> str:
    """
    Return the text of a file that may be read by anyone, such as a certificate.

    Raises:
        CredentialInvalid: It is not there or is not a small text file.
    """
    return _load(base / path, private=False)


def path_of(source: SecretSource, base: Path, environ: Mapping[str, str]) -> Path | None:
    """
    Return the file the secret is read from, absolute if *base* is; None if it is in none.

    Args:
        source: Where the secret comes from.
        base: Folder that a relative path starts from.
        environ: The environment, which says where systemd's credentials are.
    """
    match source:
        case SecretFile(path):
            return base / path
        case SecretCredential(name):
            folder = environ.get("CREDENTIALS_DIRECTORY")
            return base / folder / name if folder else None
        case SecretEnv() | Secret():
            return None


def _fetch(source: SecretSource, base: Path, environ: Mapping[str, str]) -> Secret:
    match source:
        case SecretFile(path):
            return read_file(path, base)
        case SecretEnv(name):
            if not environ.get(name):
                raise CredentialInvalid("the environment variable is not set; set it")
            return Secret(environ[name])
        case SecretCredential(name):
            folder = environ.get("CREDENTIALS_DIRECTORY")
            if not folder:
                raise CredentialInvalid(
                    "systemd handed over no credentials; add LoadCredential= to the unit"
                )
            return read_file(Path(folder, name), base)
        case Secret():
            return source


def _load(path: Path, *, private: bool) -> str:
    try:
        # Without O_NONBLOCK, opening a FIFO would wait for its writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise CredentialInvalid(ABSENT) from None
    except PermissionError:
        raise CredentialInvalid(
            "the file may not be read by this process; give its user or group the right to"
        ) from None
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or "bad path").lower()
        raise CredentialInvalid(f"the file cannot be opened ({reason})") from None
    try:
        _judge(os.fstat(descriptor), private=private)
        if private:
            _judge_folders(path)
        content = _content(descriptor)
    finally:
        os.close(descriptor)
    if len(content) > MAX_BYTES:
        raise CredentialInvalid("the file is larger than 64 KiB; store the secret alone")
    text = content.decode("utf-8", "replace")  # a strict error would carry the bytes along
    if "\ufffd" in text:
        raise CredentialInvalid("the file is not UTF-8 text; store the secret as it was issued")
    return text.strip()


def shared(path: Path) -> bool:
    """
    Say whether the file's group may change it; no if that cannot be told.
    """
    try:
        return bool(path.stat().st_mode & stat.S_IWGRP)
    except (OSError, ValueError):
        return False


def _content(descriptor: int) -> bytes:
    content = b""
    try:
        while len(content) <= MAX_BYTES:
            piece = os.read(descriptor, MAX_BYTES + 1 - len(content))
            if not piece:
                break
            content += piece
    except OSError:
        raise CredentialInvalid("the file cannot be read") from None
    return content


def _judge(status: os.stat_result, *, private: bool) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise CredentialInvalid("this is a folder; write the path of the file in it")
    if not stat.S_ISREG(status.st_mode):
        raise CredentialInvalid("this is not a regular file (a pipe, socket or device); use a file")
    if status.st_size > MAX_BYTES:
        raise CredentialInvalid("the file is larger than 64 KiB; store the secret alone")
    if private and status.st_mode & (stat.S_IROTH | stat.S_IWOTH):
        raise CredentialInvalid(
            "every user of this machine may read or change the file; "
            "run chmod 640 on it (in Kubernetes: defaultMode: 0440)"
        )


def _judge_folders(path: Path) -> None:
    """
    Refuse a file that anybody could put another in the place of: by its folder, or by that of the
    file behind a link. In a folder with the sticky bit, such as /tmp, only the owner can.
    """
    for folder in {path.parent, Path(os.path.realpath(path)).parent}:
        try:
            mode = folder.stat().st_mode
        except OSError:
            continue  # it was there a moment ago: the next reading tells
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            raise CredentialInvalid(
                "every user of this machine may replace the file; run chmod o-w on its folder"
            )
