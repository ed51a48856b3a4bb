"""A real SSH server with SFTP on this machine, as a team keeps a DVC remote behind one."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import asyncssh

SECONDS_TO_START = 30


@contextlib.contextmanager
def ssh_server(home: Path) -> Iterator[int]:
    """Yields the port of a server that knows the user of this home, and whom this home knows.

    Args:
        home: Gets `.ssh` with a key and the known hosts.
    """
    host, user = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    (home / ".ssh").mkdir(parents=True, mode=0o700)
    user.write_private_key(home / ".ssh/id_ed25519")
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(_listening(host, user), loop).result(SECONDS_TO_START)
    port = server.get_port()
    known = f"[127.0.0.1]:{port} {host.export_public_key().decode()}"
    (home / ".ssh/known_hosts").write_text(known, encoding="utf-8")
    try:
        yield port
    finally:
        loop.call_soon_threadsafe(server.close)
        asyncio.run_coroutine_threadsafe(server.wait_closed(), loop).result(SECONDS_TO_START)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _listening(host: asyncssh.SSHKey, user: asyncssh.SSHKey) -> asyncssh.SSHAcceptor:
    allowed = asyncssh.import_authorized_keys(user.export_public_key().decode())
    return await asyncssh.listen(
        "127.0.0.1", 0, server_host_keys=[host], authorized_client_keys=allowed, sftp_factory=True
    )
