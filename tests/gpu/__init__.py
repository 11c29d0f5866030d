"""Measurements on a real accelerator."""
