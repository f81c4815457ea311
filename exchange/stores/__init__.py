"""Remembering: PostgreSQL is the truth, Valkey (or Redis) a fast copy and the word between workers.

`postgres_*` hold leads, money and accounts; `redis_*` open offers, seen contacts and the mirror of
windows and usage. SQL stands in `queries.sql` and `migrations/`, scripts in `*.lua`.
"""
