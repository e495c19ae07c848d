"""TLS for tests: the loopback service under every real host name, trusted by this process.

``serving()`` is all most tests need: inside it ``https://dashscope.aliyuncs.com`` and any other
name lead to a ``Loopback``, with certificates that every HTTP client of the SDK accepts.
"""

from __future__ import annotations

import atexit
import contextlib
import datetime
import functools
import os
import shutil
import ssl
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import aiohttp
import certifi
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from dashscope_ws_patch.selftest.loopback import Loopback, Policy, redirect


@contextlib.contextmanager
def serving(policy: Policy | None = None) -> Iterator[Loopback]:
    """A loopback service over TLS that answers for every host name, trusted and redirected to."""
    with Loopback(server_context(), policy) as loopback, trusting(), redirect(loopback.port):
        yield loopback


@contextlib.contextmanager
def trusting() -> Iterator[None]:
    """Make every HTTP client that the SDK uses accept the certificates, wherever it looks."""
    where = certifi.where
    with contextlib.ExitStack() as stack:
        names = ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "WEBSOCKET_CLIENT_CA_BUNDLE")
        stack.enter_context(mock.patch.dict(os.environ, dict.fromkeys(names, ca_file())))
        for module in list(sys.modules.values()):
            if vars(module).get("where") is where:
                stack.enter_context(mock.patch.object(module, "where", ca_file))
        _aiohttp_default().load_verify_locations(ca_file())
        # From 1.27.7 on it keeps a session, with connections to another service.
        requests = sys.modules.get("dashscope.api_entities.http_request")
        getattr(requests, "close_shared_sync_session", lambda: None)()
        # dashscope from 1.25 on keeps one context for the process, made at the first request.
        session: Any = sys.modules.get("dashscope.api_entities.aio_session")
        if session:
            stack.enter_context(mock.patch.object(session, "_shared_ssl_context", None))
        yield


@functools.cache
def ca_file() -> str:
    """The path of the certificate that vouches for all the others; one per process."""
    path = _directory() / "ca.pem"
    path.write_bytes(_authority().cert_pem.bytes())
    return str(path)


def server_context() -> ssl.SSLContext:
    """A server-side context with a valid certificate for whatever name a client asks for.

    For hosts of workspaces a wildcard of their region, as the service has it; for exact names else,
    because OpenSSL lets no wildcard match a label with an underscore, such as the first of
    ``ws_x.cn-beijing.maas.aliyuncs.com``.
    """

    def choose(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        label, _dot, region = (name or "").partition(".")
        if name:
            wildcard = region.endswith(".maas.aliyuncs.com") and "_" not in label
            connection.context = _context(f"*.{region}" if wildcard else name)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _authority().issue_cert("localhost", "127.0.0.1").configure_cert(context)
    context.sni_callback = choose
    return context


@functools.cache
def _context(name: str) -> ssl.SSLContext:
    authority = x509.load_pem_x509_certificate(_authority().cert_pem.bytes())
    signer = serialization.load_pem_private_key(_authority().private_key_pem.bytes(), None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(authority.subject)
        .public_key(_key().public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
        .sign(signer, hashes.SHA256())
    )
    path = _directory() / f"{certificate.serial_number}.pem"
    key = _key().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.write_bytes(key + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


@functools.cache
def _authority() -> trustme.CA:
    return trustme.CA()


@functools.cache
def _key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@functools.cache
def _directory() -> Path:
    # No TemporaryDirectory: a fork of this process would take it away at its own end.
    directory = tempfile.mkdtemp(prefix="loopback-")
    atexit.register(_remove, directory, os.getpid())
    return Path(directory)


def _remove(directory: str, owner: int) -> None:
    if os.getpid() == owner:
        shutil.rmtree(directory)


def _aiohttp_default() -> ssl.SSLContext:
    # Made once, at import (aiohttp 3.11 and later) or at first use: no environment reaches it.
    module: Any = aiohttp.connector
    if hasattr(module, "_SSL_CONTEXT_VERIFIED"):
        context = module._SSL_CONTEXT_VERIFIED
    else:
        context = module.TCPConnector._make_ssl_context(True)
    assert isinstance(context, ssl.SSLContext)
    return context
