"""Put on the path of every process that tests start: a socket to anywhere but this machine ends in an error."""

from __future__ import annotations

import ipaddress
import sys


def _is_here(address: object) -> bool:
    if not isinstance(address, tuple):  # a Unix socket's path
        return True
    host = str(address[0]).split("%")[0]
    if host in ("localhost", ""):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def refuse_network(event: str, arguments: tuple[object, ...]) -> None:
    """An audit hook."""
    if event in ("socket.connect", "socket.sendto") and not _is_here(arguments[1]):
        raise PermissionError(f"tests have no network, and something wanted to reach {arguments[1]}")
    if event == "socket.getaddrinfo" and arguments[0] and not _is_here((arguments[0],)) and arguments[0] not in ("0.0.0.0", "::"):
        raise PermissionError(f"tests have no network, and something looked up {arguments[0]}")


sys.addaudithook(refuse_network)
