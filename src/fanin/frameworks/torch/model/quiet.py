"""Silence what the exporter tells its own developers; what fanin has to say, it raises."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator

# They log a traceback, and print the partial graph, for every error that a user's forward pass raises.
_LOGGERS = ("torch._subclasses.fake_tensor", "torch.fx.experimental.symbolic_shapes", "torch.export")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the exporter's warnings, log records and prints to stderr."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    before = [logger.disabled for logger in loggers]
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            for logger in loggers:
                logger.disabled = True
            yield
        finally:
            for logger, disabled in zip(loggers, before, strict=True):
                logger.disabled = disabled
