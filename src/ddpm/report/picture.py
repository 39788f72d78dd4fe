"""A picture with its caption, and the folder of all pictures that the evaluate stage writes."""

import base64
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ddpm.common import files

WORDS = "words.json"


@dataclass(frozen=True)
class Picture:
    """A picture. alt: its content; caption: how to read it; name: its file name; part: its section of the page."""

    png: bytes
    title: str
    caption: str
    alt: str
    name: str = ""
    part: str = "images"

    @property
    def source(self) -> str:
        """The picture as a data URI."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode()


def save(folder: Path, pictures: Sequence[Picture]) -> None:
    """Write each picture as `name`.png, and all captions, in order, into one file."""
    for picture in pictures:
        files.write_bytes(folder / f"{picture.name}.png", picture.png)
    words = [{key: value for key, value in asdict(picture).items() if key != "png"} for picture in pictures]
    files.write_json(folder / WORDS, words)


def read(folder: Path) -> list[Picture]:
    """Read the pictures of `save`. Raises FileNotFoundError or ValueError with the remedy."""
    path = folder / WORDS
    if not path.is_file():
        raise FileNotFoundError(f"{folder} has no pictures. Run `dvc repro evaluate` (or `make run`).")
    try:
        return [Picture((folder / f"{words['name']}.png").read_bytes(), **words) for words in files.read_json(path)]
    except (TypeError, KeyError) as error:
        raise ValueError(f"{path} is from another version. Run `dvc repro --force evaluate`.") from error
