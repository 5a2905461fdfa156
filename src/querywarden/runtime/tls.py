"""TLS contexts: of listeners, with certificates that are read again on reload, and towards servers by mode."""

from __future__ import annotations

import ssl

from querywarden.config.models import ListenerTls, ServerTls, TlsMode
from querywarden.errors import ConfigurationError

ALPN = "postgresql"


def listener_context(tls: ListenerTls) -> ssl.SSLContext:
    """The context of a listener: TLS 1.2 or newer, ALPN `postgresql` for those that ask.

    Raises: ConfigurationError when certificate or key can't be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols([ALPN])
    load_listener_certificate(context, tls)
    return context


def load_listener_certificate(context: ssl.SSLContext, tls: ListenerTls) -> None:
    """Read a listener's certificate and key, also anew into a context in use: new handshakes show the new one.

    Raises: ConfigurationError when they can't be used; the context is as before then.
    """
    try:
        # First into a context of its own: a key that doesn't fit must not leave the one in use half changed.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tls.certificate, tls.key)
        context.load_cert_chain(tls.certificate, tls.key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"certificate and key can't be used: {_reason(error)}", str(tls.certificate), hint=f"the key is {tls.key}"
        ) from None


def server_context(tls: ServerTls) -> ssl.SSLContext | None:
    """The context towards a server; None where the mode is `disable`.

    `require` with authorities of its own verifies as `verify-ca` does, as in libpq.
    Raises: ConfigurationError when a file can't be used.
    """
    if tls.mode is TlsMode.DISABLE:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols([ALPN])
    is_verified = tls.mode in (TlsMode.VERIFY_CA, TlsMode.VERIFY_FULL) or (tls.mode is TlsMode.REQUIRE and tls.ca is not None)
    context.check_hostname = tls.mode is TlsMode.VERIFY_FULL
    context.verify_mode = ssl.CERT_REQUIRED if is_verified else ssl.CERT_NONE
    try:
        if tls.ca is not None:
            context.load_verify_locations(tls.ca)
        elif is_verified:
            context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        if tls.certificate is not None:
            context.load_cert_chain(tls.certificate, tls.key)
    except (OSError, ssl.SSLError) as error:
        file = tls.ca if tls.ca is not None and tls.certificate is None else tls.certificate or tls.ca
        raise ConfigurationError(f"the TLS files towards the server can't be used: {_reason(error)}", str(file)) from None
    return context


def _reason(error: OSError) -> str:
    return getattr(error, "reason", None) or error.strerror or type(error).__name__
