"""A gRPC call by hand, for asking Ray's daemons as a stranger would: neither grpcio nor Ray's own client is needed."""

from __future__ import annotations

import re
import socket

UNIMPLEMENTED, UNAUTHENTICATED = 12, 16

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _SETTINGS = 0, 1, 4
_END_STREAM, _END_HEADERS = 1, 4


def grpc_status(host: str, port: int, method: str, token: str | None = None) -> int:
    """The gRPC status of an empty request (RFC 9113, RFC 7541 without compression); 0 is success, 16 is `unauthenticated`."""
    headers = {":method": "POST", ":scheme": "http", ":path": method, ":authority": f"{host}:{port}"}
    headers |= {"content-type": "application/grpc", "te": "trailers"}
    headers |= {"authorization": f"Bearer {token}"} if token else {}
    block = b"".join(b"\0" + _text(name) + _text(value) for name, value in headers.items())
    with socket.create_connection((host, port), timeout=20) as connection:
        connection.sendall(_PREFACE + _frame(_SETTINGS, 0, 0, b""))
        connection.sendall(_frame(_HEADERS, _END_HEADERS, 1, block) + _frame(_DATA, _END_STREAM, 1, bytes(5)))
        said = b""
        while not (found := re.search(rb"grpc-status[\x01\x02](\d+)", said)):
            received = connection.recv(4096)
            assert received, f"{host}:{port} {method}: closed without a status: {said!r}"
            said += received
    return int(found[1])


def _text(text: str) -> bytes:
    return bytes([len(text)]) + text.encode()  # lengths below 127 take one byte


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload
