"""The page of an evaluation: what a network gets wrong, to look at. It works without a script."""

from .sections import Evaluated, mistakes_page

__all__ = ["Evaluated", "mistakes_page"]
