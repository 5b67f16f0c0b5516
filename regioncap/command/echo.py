"""What the command writes for people: models, rows, servers and file names cannot act on the terminal through it."""

from __future__ import annotations

import logging

import click

from regioncap.printable import printable


def say(text: object = "", *, err: bool = False) -> None:
    """Write a line, or several, to stdout or stderr."""
    click.echo(printable(text), err=err)


class PrintableFormatter(logging.Formatter):
    """Formats a log record, its traceback included, for a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as text."""
        return printable(super().format(record))
