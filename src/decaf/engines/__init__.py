"""Run a network up to the layers asked for."""

from decaf.engines.base import Engine, Runner, Runtime, make_engine

__all__ = ["Engine", "Runner", "Runtime", "make_engine"]
