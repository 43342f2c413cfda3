"""Screening, without torch."""
