"""Starts LocalStack, with its own Python, so that it answers plain HTTP on loopback only.

Of its two servers, Twisted passes over the host that it is told and listens everywhere; Hypercorn
(`GATEWAY_SERVER`) keeps to it, and would speak TLS alone if it were given the certificate.
"""

from localstack.runtime import main  # type: ignore[import-not-found]
from localstack.runtime.server.hypercorn import (  # type: ignore[import-not-found]
    HypercornRuntimeServer,
)

register = HypercornRuntimeServer.register


def register_without_certificate(
    server: HypercornRuntimeServer, gateway: object, listen: object, _certificate: object = None
) -> None:
    """Stands in for `register`: the same without TLS."""
    register(server, gateway, listen)


if __name__ == "__main__":
    HypercornRuntimeServer.register = register_without_certificate
    main.main()
