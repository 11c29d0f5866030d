"""Databases on the tests' PostgreSQL server; `postgres` is its address, with %s for a database's name."""

from __future__ import annotations

from sqlalchemy import create_engine, text


def new_database(postgres: str, name: str) -> str:
    """The address of a new, empty database."""
    run(postgres, f"CREATE DATABASE {name}")
    return postgres % name


def run(postgres: str, command: str) -> None:
    engine = create_engine(postgres % "postgres", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(command))
    engine.dispose()
