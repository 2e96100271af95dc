"""Run a network up to the layers asked for."""

from decaf.engines.base import Engine, Runtime, make_engine

__all__ = ["Engine", "Runtime", "make_engine"]
