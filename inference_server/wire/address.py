"""What an address such as tcp://127.0.0.1:47600 says: the same for the server, its clients and the add-on."""

import ipaddress
import re


def split_address(address: str) -> tuple[str, int] | None:
    """Host in small letters, without brackets, and port; None where it is no address."""
    match = re.fullmatch(r"tcp://(\[[^\]]+\]|[^:/\[\]]+):(\d{1,5})", address)
    if match is None or not 0 < int(match[2]) < 65536:
        return None
    return match[1].strip("[]").lower(), int(match[2])


def is_loopback(host: str) -> bool:
    """True for names and numbers of this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_ipv6(address: str) -> bool:
    """Whether sockets for an address are IPv6's: those for one in brackets, such as tcp://[::1]:47600.

    For names that have both, such as localhost, client and server have to mean the same one.
    """
    return "[" in address
