"""Pixels, sheets, PNG and animations, without torch and matplotlib."""
