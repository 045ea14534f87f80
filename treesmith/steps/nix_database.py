"""Nix's database of what is in its store, without what makes two of the same differ: see its schema.sql."""

import io
import sqlite3
from contextlib import closing

from treesmith.archive.layer import Layer, Meta
from treesmith.archive.read import read

_PATH = "nix/var/nix/db/db.sqlite"
_STATEMENTS = "select sql from sqlite_schema where sql is not null and name not like 'sqlite_%' order by rowid"
_ORDER = "select id from ValidPaths order by path"
_NUMBERS = {"ValidPaths": {"id"}, "Refs": {"referrer", "reference"}, "DerivationOutputs": {"drv"}}
_TIME = "registrationTime"


def settle(root: int, epoch: int) -> None:
    """Let all in a root's be registered at `epoch`, in unix seconds, and numbered by path: copying has no order."""
    data = bytearray(read(root, _PATH))
    data[18:20] = b"\1\1"  # fileformat2: without a write-ahead log, of which no database in memory knows
    with closing(sqlite3.connect(":memory:")) as old, closing(sqlite3.connect(":memory:")) as new:
        old.deserialize(bytes(data))
        for (text,) in old.execute(_STATEMENTS).fetchall():
            new.execute(text)
        places = {number: place for place, (number,) in enumerate(old.execute(_ORDER), 1)}
        for table, numbers in _NUMBERS.items():
            cursor = old.execute(f"select * from {table}")
            names = [column[0] for column in cursor.description]
            rows = [
                tuple(
                    places[value] if name in numbers else epoch if name == _TIME else value
                    for name, value in zip(names, row, strict=True)
                )
                for row in cursor
            ]
            new.executemany(f"insert into {table} values ({', '.join('?' * len(names))})", sorted(rows))
        new.commit()
        made = new.serialize()
    with Layer(root) as layer:
        layer.file(_PATH, io.BytesIO(made), Meta(0o644))
