"""The one clock that leases and pauses of jobs go by, whichever machine sets them and whichever looks."""

import time

from sqlalchemy import ColumnElement, Connection, Float, cast, extract, func, literal, select


def clock(connection: Connection) -> ColumnElement[float]:
    """Seconds of the epoch, in a statement: on PostgreSQL by its server, and as of when the statement began.

    Clocks of machines differ: by its own, one would take away the lease that another has just been given.
    """
    if connection.dialect.name == "postgresql":
        return cast(extract("epoch", func.statement_timestamp()), Float)
    return literal(time.time())


def now(connection: Connection) -> float:
    """What that clock says."""
    return connection.execute(select(clock(connection))).scalar_one()
