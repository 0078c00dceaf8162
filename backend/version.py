"""Atelier's version, as written into pictures."""

VERSION = "0.1.0"
