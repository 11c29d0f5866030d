"""A process that has imported torch and diffusers, and forks into model processes.

It runs nothing itself: no thread, no accelerator, so that its copies begin as clean as a fresh process. It
listens on a Unix socket. A connection asks for one process: it brings the environment, and the file
descriptors of the new process's channel, stdout and stderr. The zygote answers with a line of JSON, `pid`,
and another when the process has ended, `status` (as of subprocess: negative for a signal). The connection's
end at the other side kills the process. So no model process outlives its replica.

The zygote ends when its standard input does: with the process that started it. Linux only.
"""

from __future__ import annotations

import gc
import json
import os
import selectors
import signal
import socket
import struct
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from setproctitle import setproctitle

from deployments.process import child

#: Exit code of a zygote in whose place another one would be no better.
UNFIT = 64
#: Seconds within which a connection must say what it wants.
PATIENCE_S = 5.0
_FDS = 3
_SIZE = struct.Struct("!Q")
_CREDENTIALS = struct.Struct("3i")


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """A process to fork: its surroundings, and its channel, stdout and stderr."""

    environment: dict[str, str]
    folder: str
    fds: tuple[int, ...]


def place_order(connection: socket.socket, order: Order) -> None:
    """Raises OSError if the zygote is gone."""
    body = json.dumps({"environment": order.environment, "folder": order.folder}).encode()
    socket.send_fds(connection, [_SIZE.pack(len(body))], list(order.fds))
    connection.sendall(body)


def take_order(connection: socket.socket) -> Order:
    """Raises OSError or ValueError for a connection that does not say what it wants."""
    header, fds, *_ = socket.recv_fds(connection, _SIZE.size, _FDS)
    try:
        (size,) = _SIZE.unpack(header)
        wanted = json.loads(_exactly(connection, size))
        if len(fds) != _FDS:
            raise ValueError(f"{len(fds)} file descriptors")
        return Order(environment=wanted["environment"], folder=wanted["folder"], fds=tuple(fds))
    except (struct.error, KeyError, ValueError) as error:
        for fd in fds:
            os.close(fd)
        raise ValueError(f"not an order: {error}") from error


def _exactly(connection: socket.socket, size: int) -> bytes:
    body = bytearray()
    while len(body) < size:
        if not (part := connection.recv(size - len(body))):
            raise ValueError("it broke off")
        body += part
    return bytes(body)


class Zygote:
    """Forks on request, watches its children, and kills those whose replica has gone."""

    def __init__(self, listener: socket.socket, lifeline: int) -> None:
        """`lifeline`: a file descriptor at whose end the zygote ends."""
        self._listener = listener
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ, self._accept)
        self._selector.register(lifeline, selectors.EVENT_READ, None)

    def run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.data is None:
                    return
                key.data()

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        try:
            connection.settimeout(PATIENCE_S)
            _refuse_others(connection)
            pid = _fork(take_order(connection))
            _tell(connection, pid=pid)
            _Watch(self._selector, connection, pid)
        except (OSError, ValueError) as error:
            print(f"zygote: {error}", file=sys.stderr)
            connection.close()


class _Watch:
    """One child, and the connection that asked for it."""

    def __init__(self, selector: selectors.BaseSelector, connection: socket.socket, pid: int) -> None:
        self._selector = selector
        self._connection = connection
        self._pid = pid
        self._over = False
        self._pidfd = os.pidfd_open(pid)
        selector.register(self._pidfd, selectors.EVENT_READ, self._ended)
        selector.register(connection, selectors.EVENT_READ, self._kill)

    def _kill(self) -> None:
        if self._over:  # Both were seen in one look, the child's end first.
            return
        self._selector.unregister(self._connection)
        os.kill(self._pid, signal.SIGKILL)  # Not reaped yet, so the number is still its own.

    def _ended(self) -> None:
        self._over = True
        _, status = os.waitpid(self._pid, 0)
        _tell(self._connection, status=os.waitstatus_to_exitcode(status))
        self._selector.unregister(self._pidfd)
        os.close(self._pidfd)
        if self._connection in self._selector.get_map():
            self._selector.unregister(self._connection)
        self._connection.close()


def _fork(order: Order) -> int:
    """The new process's id."""
    try:
        pid = os.fork()
        if pid == 0:
            _become(order)
        return pid
    finally:
        for fd in order.fds:
            os.close(fd)


def _become(order: Order) -> NoReturn:
    """In the copy: leave everything of the zygote's behind, and be a model process.

    The zygote's objects stay alive in the frames above, so that none of them closes a number used anew.
    """
    try:
        channel = _surround(order)
        os.closerange(3, channel)
        os.closerange(channel + 1, os.sysconf("SC_OPEN_MAX"))
        child.main(socket.socket(fileno=channel))
    finally:
        os._exit(1)


def _surround(order: Order) -> int:
    """Take the environment, folder, stdout and stderr of the order; the channel's file descriptor."""
    channel, stdout, stderr = order.fds
    signal.set_wakeup_fd(-1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (stdout, 1), (stderr, 2)):
        os.dup2(source, target)
    os.environ.clear()
    os.environ.update(order.environment)
    os.chdir(order.folder)
    return channel


def _tell(connection: socket.socket, **what: int) -> None:
    try:
        connection.sendall(json.dumps(what).encode() + b"\n")
    except OSError:
        return  # The replica has gone; its child is on its way out.


def _refuse_others(connection: socket.socket) -> None:
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, user, _ = _CREDENTIALS.unpack(credentials)
    if user != os.getuid():
        raise PermissionError(f"user {user} has no business here")


def listen(path: Path) -> socket.socket:
    """A socket at `path`, in a folder that only this user can enter; it takes the place of an older one."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = path.parent.lstat()
    if found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PermissionError(f"{path.parent} belongs to someone else, or is open to others")
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(fresh))
    listener.listen()
    fresh.rename(path)
    return listener


def poisoned() -> bool:
    """Whether a copy of this process could not use the accelerator, because this one has touched it.

    https://docs.pytorch.org/docs/stable/notes/multiprocessing.html#poison-fork-in-multiprocessing
    """
    pid = os.fork()
    if pid == 0:
        torch: Any = sys.modules.get("torch")
        devices = (getattr(torch, name, None) for name in ("cuda", "xpu"))
        os._exit(any(device._is_in_bad_fork() for device in devices if device is not None))
    return os.waitpid(pid, 0)[1] != 0


def main(path: Path, preload: str) -> None:
    """`preload`: `module:function`, called once before the first fork."""
    setproctitle("cyberimage: zygote")  # Now: it looks for its place beside the first environment.
    try:
        listener = listen(path)
    except OSError as error:
        print(f"no zygote at {path}: {error}", file=sys.stderr)
        sys.exit(UNFIT)
    mine = path.lstat().st_ino
    module, _, function = preload.partition(":")
    getattr(import_module(module), function)()
    if poisoned():
        print("the imports touch the accelerator: model processes are not forked", file=sys.stderr)
        path.unlink(missing_ok=True)
        sys.exit(UNFIT)
    gc.collect()
    gc.freeze()  # Or the collector of every copy would write to the pages that it shares with the others.
    Zygote(listener, sys.stdin.fileno()).run()
    if path.exists() and path.lstat().st_ino == mine:
        path.unlink()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
