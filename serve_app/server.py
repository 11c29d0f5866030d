"""The server as a process: start it in the foreground or detached, find it, stop it."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, NoReturn

import httpx
import psutil
from dotenv import load_dotenv

from configs.errors import ConfigError
from configs.registry import load_registry
from configs.settings import DOTENV, Settings, load_settings, to_environment
from serve_app.neighbours import CannotJoin
from serve_app.ray_processes import RayProcesses, is_running
from serve_app.ray_sessions import tidy
from serve_app.stopping import Stop, stop_signals
from serve_app.urls import local_url

if TYPE_CHECKING:
    from serve_app.cluster import Connection

#: Seconds within which a server must answer after it was deployed.
READY_TIMEOUT_S = 120.0
#: Seconds that a detached server may take in all, and that one may take to stop.
START_TIMEOUT_S = 360.0
STOP_TIMEOUT_S = 60.0
#: Seconds for which a server that answers may say that it is not healthy before it counts as up.
UNHEALTHY_FOR_S = 10.0
#: Seconds between two looks at whether Ray lives, and between two tries to start again when it has died.
LOOK_S = 0.5
AGAIN_S = 10.0
#: Seconds between two looks at how many logs Ray has left; a look takes some 0.1 s.
TIDY_S = 300.0
#: Tells this module, run as a program, that it takes the place of a server whose Ray has died.
AGAIN = "--again"
#: Ports tried after the default one.
PORTS_TRIED = 50


class ServerError(Exception):
    """The server could not be started or stopped."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerInfo:
    """A running server, as DATA_DIR/server.json describes it."""

    url: str
    docs_url: str
    dashboard_url: str | None
    dashboard_token_file: str | None
    data_dir: str
    pid: int
    #: What the person who started it should know.
    notice: str | None = None


def run(settings: Settings, *, on_ready: Callable[[ServerInfo], None] = lambda info: None) -> None:
    """Serve until SIGINT or SIGTERM. When Ray has died, begin again on the same port.

    Raises:
        ServerError: another server uses the data directory, the port is taken, the cluster to join has no
            place for this one, or Ray Serve cannot start it.
        ConfigError: the registry is wrong.
    """
    load_dotenv(DOTENV)
    registry = load_registry(settings)
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    joining = bool(os.environ.get("RAY_ADDRESS"))
    own_port = nullcontext() if joining else held_port(settings)
    with _alone(settings.data_dir), own_port as held, stop_signals() as stop:
        from serve_app.cluster import DeployFailed, connect, deploy

        notice = _check_database(settings, here=not joining)
        try:
            connection = connect(settings)
        except CannotJoin as error:
            raise ServerError(str(error)) from error
        except Exception as error:  # Ray raises plain Exceptions when the machine is too busy for it.
            raise ServerError(f"Ray does not start: {error}") from error
        stop.listen()
        try:
            port = held or connection.port or _free_port(settings)
            info = _describe(settings, port, connection.dashboard_url, connection.token_file, notice)
            with stop.interrupting():
                deploy(settings, registry, port, own=connection.own)
                trouble = _await_answer(info.url)
            info = replace(info, notice=notice or trouble)
            with _announced(info) as announce:
                with stop.interrupting():
                    on_ready(info)
                _wait(stop, connection.processes, connection.session, announce)
        except KeyboardInterrupt:
            stop.set()
        except (DeployFailed, CannotJoin) as error:
            raise ServerError(str(error)) from error
        except Exception as error:
            if connection.processes is None or connection.processes.alive:
                raise
            raise ServerError("Ray has died while the server started") from error
        finally:
            _end(connection, settings)
    if not stop.is_set():
        print("Ray has died: the server starts again", file=sys.stderr, flush=True)
        _begin_again(to_environment(settings) | {"CYBERIMAGE_PORT": str(port)})


def _end(connection: Connection, settings: Settings) -> None:
    """Leave the cluster, or end it with all its processes. If Ray died before, jobs lose an attempt."""
    from serve_app.cluster import disconnect

    in_order = connection.processes is None or connection.processes.alive
    if in_order:
        disconnect(connection, settings)
    if connection.processes is not None:
        connection.processes.end()
    if in_order:
        _hand_back(settings)


def _hand_back(settings: Settings) -> None:
    """What was running when the server was stopped begins anew at the next start, at no cost.

    Not before the dispatcher has ended, or it would take them again. If this fails, the next dispatcher takes
    them back as a dead one's.
    """
    from storage import StorageError, open_stores

    with suppress(StorageError), open_stores(settings.resolved_database_url) as stores:
        stores.jobs.hand_back(now=datetime.now(UTC))


def _wait(stop: Stop, ray: RayProcesses | None, session: Path | None, announce: Callable[[], None]) -> None:
    """Return when told to stop, or when Ray has died. Meanwhile keep the number of its logs within bounds."""
    tidied = time.monotonic()
    while not stop.wait(LOOK_S):
        if ray is not None and not ray.alive:
            return
        announce()
        if session is not None and time.monotonic() - tidied > TIDY_S:
            tidied = time.monotonic()
            with suppress(OSError, psutil.Error):
                tidy(session, psutil.Process().children(recursive=True))


def _begin_again(variables: dict[str, str]) -> NoReturn:
    """Become a new server with these variables: the same process id and terminal, and nothing of Ray's.

    Ray's client in this process would end it a minute after the cluster's death, and cannot join a new one
    in safety before.
    """
    os.execve(sys.executable, [sys.executable, "-m", "serve_app.server", AGAIN], os.environ | variables)


def start_detached(settings: Settings) -> ServerInfo:
    """Start a server in a session of its own and wait until it answers. Raises ServerError."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    log = settings.data_dir / "server.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "serve_app.server"],
            env=os.environ | to_environment(settings),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        info = find(settings)
        if info is not None and info.pid == process.pid:
            return info
        if process.poll() is not None:
            break
        time.sleep(0.2)
    process.terminate()
    last_lines = log.read_text(errors="replace").splitlines()[-5:]
    raise ServerError("\n".join(["the server did not start:", *last_lines, f"({log} has more)"]))


def stop(settings: Settings) -> bool:
    """Stop the server of the data directory and wait for its end. False if none runs, nor is starting."""
    pid = _pid_on(settings.data_dir)
    if pid is None:
        return False
    processes = _family_of(pid)
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while is_running(processes):
        if time.monotonic() > deadline:
            raise ServerError(f"process {pid} does not stop; end it with `kill -9 {pid}`")
        time.sleep(0.1)
    return True


def _pid_on(data_dir: Path) -> int | None:
    """The process that holds the data directory."""
    if _is_free(data_dir):
        return None
    try:
        return int((data_dir / "server.lock").read_text("ascii"))
    except ValueError:
        return None


def _family_of(pid: int) -> list[psutil.Process]:
    """The process and all that it started: Ray's processes end a moment after the one that asked for it."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def find(settings: Settings) -> ServerInfo | None:
    """The server that runs on the data directory, once it is ready."""
    file = settings.data_dir / "server.json"
    if not file.exists() or _is_free(settings.data_dir):
        return None
    try:
        return ServerInfo(**json.loads(file.read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None


@contextmanager
def held_port(settings: Settings) -> Iterator[int]:
    """The port to listen on: the one asked for, or the first free one from the default on.

    No other server takes it meanwhile, not even one that starts at the same moment: Ray Serve binds with
    SO_REUSEPORT, so two of them would share a port and each answer half of the requests.

    Raises ServerError if a port was asked for and is taken, or the host is no address of this machine.
    """
    family = _address_family(settings.host)
    fixed = settings.port == 0 or "port" in settings.model_fields_set
    for port in range(settings.port, settings.port + (1 if fixed else PORTS_TRIED)):
        with socket.socket(family) as holder:
            if _bind(holder, settings.host, port):
                yield int(holder.getsockname()[1])
                return
    raise ServerError(f"port {settings.port} is taken; choose another with --port, or 0 for any free one")


def _free_port(settings: Settings) -> int:
    """The same, not held: the user of a cluster that was joined may be another, who could not share it."""
    with held_port(settings) as port:
        return port


def _address_family(host: str) -> socket.AddressFamily:
    try:
        return socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][0]
    except OSError as error:
        raise ServerError(f"{host!r} is no address to listen on: {error.strerror}") from error


def _bind(holder: socket.socket, host: str, port: int) -> bool:
    """Take the port alone, and only then let the Ray Serve of this user bind it too."""
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        holder.bind((host, port))
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise ServerError(f"cannot listen on {host} port {port}: {error.strerror}") from error
        return False
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    return True


def _check_database(settings: Settings, *, here: bool) -> str | None:
    """Set a damaged one aside; what to tell of that. Raises ServerError.

    `here` says that it is used on this machine, so that it must open: Ray tells of it half a minute later.
    """
    from storage import StorageError, open_stores
    from storage.database import file_of
    from storage.recovery import set_aside_if_damaged

    url = settings.resolved_database_url
    try:
        aside = set_aside_if_damaged(url, now=datetime.now(UTC))
        if here:
            open_stores(url).close()
    except StorageError as error:
        raise ServerError(str(error)) from error
    if aside is None:
        return None
    return (
        f"the database was damaged ({aside.problem}), so it is now {aside.file} and a new one was begun: "
        f"jobs and the gallery's entries are missing, pictures and clips are still in {settings.media_dir}. "
        "`cyberimage adopt` takes them into the gallery again. "
        "To save what else can be read, stop the server, delete the new database, and run: "
        f"sqlite3 {quote(str(aside.file))} .recover | sqlite3 {quote(str(file_of(url)))} && cyberimage adopt"
    )


def _describe(
    settings: Settings,
    port: int,
    dashboard_url: str | None,
    token: Path | None,
    notice: str | None,
) -> ServerInfo:
    url = local_url(settings.host, port)
    return ServerInfo(
        url=url,
        docs_url=f"{url}/docs",
        dashboard_url=dashboard_url,
        dashboard_token_file=str(token) if token else None,
        data_dir=str(settings.data_dir),
        pid=os.getpid(),
        notice=notice,
    )


def _await_answer(url: str) -> str | None:
    """Wait until it is healthy; for a while only if it answers and says why it is not, such as a full disk.

    What it says comes back, for it is up all the same, and mends by itself. Raises ServerError.
    """
    started = time.monotonic()
    problem = ""
    # A proxy that the environment names is for other machines.
    with httpx.Client(trust_env=False, timeout=5) as http:
        while (waited_s := time.monotonic() - started) < READY_TIMEOUT_S:
            try:
                reply = http.get(f"{url}/health")
            except httpx.HTTPError as error:
                problem = str(error)
            else:
                if reply.status_code == HTTPStatus.OK:
                    return None
                trouble = _reason_in(reply)
                if trouble is not None and waited_s > UNHEALTHY_FOR_S:
                    return f"the server is up, but {trouble}"
                problem = trouble or reply.text
            time.sleep(0.05)
    raise ServerError(f"the server at {url} does not answer: {problem}")


def _reason_in(reply: httpx.Response) -> str | None:
    """Why our own server says that it is not healthy; None for another's reply."""
    try:
        body = reply.json()
    except ValueError:
        return None
    reason = body.get("reason") if isinstance(body, dict) and "version" in body else None
    return reason if isinstance(reason, str) else None


@contextmanager
def _alone(data_dir: Path) -> Iterator[None]:
    """Hold the data directory: one server at a time. The lock goes with the process, however it ends.

    The file has the process's number, for who wants to stop it before it is ready. It is written over, which
    a full disk allows.
    """
    with os.fdopen(os.open(data_dir / "server.lock", os.O_RDWR | os.O_CREAT, 0o644), "r+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ServerError(f"another server uses {data_dir}; give this one another --data-dir") from None
        os.set_inheritable(lock.fileno(), False)
        with suppress(OSError):
            lock.write(f"{os.getpid()}\n")
            lock.truncate()
        yield


def _is_free(data_dir: Path) -> bool:
    file = data_dir / "server.lock"
    if not file.exists():
        return True
    with file.open("r") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


@contextmanager
def _announced(info: ServerInfo) -> Iterator[Callable[[], None]]:
    """Describe the server in DATA_DIR/server.json while it runs.

    What comes is to be called now and then: it tries again where the disk was full.
    """
    file = Path(info.data_dir) / "server.json"
    temporary = file.with_suffix(".tmp")

    def announce() -> None:
        if not file.exists():
            with suppress(OSError):
                temporary.write_text(json.dumps(asdict(info), indent=2))
                temporary.rename(file)

    file.unlink(missing_ok=True)  # a killed server's
    announce()
    try:
        yield announce
    finally:
        file.unlink(missing_ok=True)


def main() -> None:
    """Serve. In place of a server whose Ray has died, until that succeeds."""
    settings = None
    try:
        settings = load_settings()
        run(settings, on_ready=lambda info: print(f"warning: {info.notice}") if info.notice else None)
    except (ServerError, ConfigError, OSError) as error:
        if AGAIN not in sys.argv:
            sys.exit(f"error: {error}")
        print(f"error: {error}; trying again in {AGAIN_S:g} s", file=sys.stderr, flush=True)
        RayProcesses().end()
        _rest(settings)
        _begin_again({})


def _rest(settings: Settings | None) -> None:
    """Wait, with the data directory held: `down` finds this process, and where there is a server, it ends."""
    with ExitStack() as held:
        if settings is not None:
            try:
                held.enter_context(_alone(settings.data_dir))
            except ServerError as error:
                sys.exit(f"error: {error}")
            except OSError:
                pass  # the disk is away
        time.sleep(AGAIN_S)


if __name__ == "__main__":
    main()
