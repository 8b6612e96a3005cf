"""Cloud Storage's download API over a folder, as cheap as the kernel can send it: `python -m lab.bucket FOLDER`.

Prints its port. `--limit` bounds each stream, in bytes per second; without it only this machine does.
"""

from __future__ import annotations

import argparse
import os
import re
import socket
import threading
import time
from pathlib import Path
from urllib.parse import unquote, urlsplit

from lab.process import LOOPBACK

BUCKET = "benchmark"
PIECE_BYTES = 1 << 20
RANGE = re.compile(rb"range:\s*bytes=(\d+)-(\d*)\s*", re.IGNORECASE)


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(prog="lab.bucket")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--limit", type=float, default=0.0)
    options = parser.parse_args()
    with socket.create_server((LOOPBACK, 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=_serve, args=(connection, options.folder, options.limit), daemon=True).start()


def _serve(connection: socket.socket, folder: Path, limit: float) -> None:
    """Answer the requests of one connection, one after the other, until it is closed."""
    with connection, connection.makefile("rb") as lines:
        while line := lines.readline():
            start, end = 0, ""
            while (header := lines.readline()).strip():
                if match := RANGE.fullmatch(header):
                    start, end = int(match[1]), match[2].decode()
            name = unquote(urlsplit(line.split()[1].decode()).path.partition("/o/")[2])
            try:
                _send(connection, folder / name, start, end, limit)
            except OSError:
                return  # the client is gone, or was killed


def _send(connection: socket.socket, path: Path, start: int, end: str, limit: float) -> None:
    if not path.is_file():
        connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        return
    with path.open("rb") as file:
        last = min(int(end or file.seek(0, os.SEEK_END)), file.seek(0, os.SEEK_END) - 1)
        head = f"HTTP/1.1 206 Partial Content\r\nContent-Length: {last + 1 - start}\r\n\r\n"
        connection.sendall(head.encode())
        began, place = time.monotonic(), start
        while place <= last:
            place += os.sendfile(connection.fileno(), file.fileno(), place, min(PIECE_BYTES, last + 1 - place))
            if limit and (ahead := (place - start) / limit - (time.monotonic() - began)) > 0:
                time.sleep(ahead)


if __name__ == "__main__":
    main()
