"""Numbered migrations, each applied once, under an advisory lock, with its checksum kept."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import Final, NamedTuple

from exchange.stores.postgres import Postgres

_LOCK: Final = 7_260_411
"""The advisory lock that keeps two migrations from running at once; any constant would do."""

MIGRATION_S: Final = 3_600.0
"""Longest a migration may take: an index over many millions of leads takes minutes."""

_TABLE: Final = """
create table if not exists migration (
    number integer primary key,
    name text not null,
    checksum text not null,
    applied_at timestamptz not null default clock_timestamp()
)
"""


class MigrationError(Exception):
    """The database and the migrations of this version do not fit together."""


class Migration(NamedTuple):
    """One file of migrations/."""

    number: int
    name: str
    statements: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the statements, in hex."""
        return hashlib.sha256(self.statements.encode()).hexdigest()


def read_migrations() -> list[Migration]:
    """The migrations this version has, in order."""
    found = []
    for entry in sorted(
        files("exchange.stores").joinpath("migrations").iterdir(), key=lambda e: e.name
    ):
        if entry.name.endswith(".sql"):
            number, _, name = entry.name.removesuffix(".sql").partition("_")
            found.append(Migration(int(number), name, entry.read_text()))
    return found


async def migrate(postgres: Postgres) -> list[str]:
    """Bring the schema up to this version; gives the names applied now.

    Raises MigrationError if an applied migration was changed since, or the database is newer.
    """
    wanted = {migration.number: migration for migration in read_migrations()}
    applied_now = []
    async with postgres.connection() as connection, connection.transaction():
        await connection.execute("select pg_advisory_xact_lock($1)", _LOCK)
        await connection.execute(_TABLE)
        rows = await connection.fetch("select number, checksum from migration order by number")
        for row in rows:
            migration = wanted.pop(row["number"], None)
            if migration is None:
                raise MigrationError(
                    f"the database has migration {row['number']}, which this version does not know"
                )
            if migration.checksum != row["checksum"]:
                raise MigrationError(
                    f"migration {migration.number} was changed after it was applied"
                )
        for migration in sorted(wanted.values()):
            await connection.execute(migration.statements, timeout=MIGRATION_S)
            await connection.execute(
                "insert into migration (number, name, checksum) values ($1, $2, $3)",
                migration.number,
                migration.name,
                migration.checksum,
            )
            applied_now.append(f"{migration.number:04d}_{migration.name}")
    return applied_now
