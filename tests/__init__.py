"""Atelier's tests, one file for each module."""
