"""Notes on sampling settings, for the terminal."""

from collections.abc import Sequence

from ddpm.common import terminal


def print_notes(notes: Sequence[str]) -> None:
    """Print the notes."""
    for note in notes:
        terminal.echo(f"note: {note}")
