"""CSV files as rows of text: encoding and separator are found, and what is doubtful is an error."""

import codecs
import csv
import io
from collections import Counter

from ddpm.data.errors import DataError

SEPARATORS = ",;\t|"
SAMPLE_LINES = 50
BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def rows(content: bytes, name: str) -> tuple[list[str], list[list[str]]]:
    """Return the header and the rows below it, without empty lines, each as long as the header.

    name: of the file, for messages. Raises DataError for another encoding, no header, or rows of another length.
    """
    text = _decoded(content, name)
    separator = _separator(text)
    try:
        lines = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator) if any(row)]
    except csv.Error as error:
        raise DataError(f"{name} cannot be read as CSV: {error}. Save it again as CSV.") from error
    if len(lines) < 2:
        raise DataError(f"{name} has {len(lines)} lines; a table has a header and rows below it.")
    header, body = [cell.strip() for cell in lines[0]], lines[1:]
    if all(_is_number(cell) for cell in header[1:]):
        raise DataError(f"{name} has no header: its first line is {', '.join(header[:4])}. Name the columns in it.")
    if repeated := [column for column, count in Counter(header).items() if count > 1]:
        raise DataError(f"{name} has the column {repeated[0]!r} twice. Rename one of them.")
    for number, row in enumerate(body, start=2):
        if len(row) != len(header):
            raise DataError(
                f"{name}, row {number}: {len(row)} cells, but the header has {len(header)} (separator "
                f"{separator!r}). Repair the row, or quote cells that hold the separator."
            )
    return header, body


def _decoded(content: bytes, name: str) -> str:
    encoding = next((each for bom, each in BOMS.items() if content.startswith(bom)), "utf-8")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(
            f"{name} is not {encoding} text (line {line}). Save it as UTF-8, such as by "
            "`iconv -f latin1 -t utf-8 OLD > NEW`."
        ) from error


def _separator(text: str) -> str:
    """The separator that the first lines have equally often, the most of them; a comma if none is."""
    lines = [line for line in text.splitlines()[:SAMPLE_LINES] if line.strip()]
    counts = {each: {line.count(each) for line in lines} for each in SEPARATORS}
    steady = {each: min(found) for each, found in counts.items() if len(found) == 1 and min(found)}
    return max(steady, key=lambda each: steady[each]) if steady else ","


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
