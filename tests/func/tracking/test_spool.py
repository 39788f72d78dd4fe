"""The spool: whole lines, one writer, exact pictures."""

import multiprocessing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ddpm.common import files
from ddpm.common.locks import LockBusyError
from ddpm.tracking.spool import Progress, Spool
from ddpm.tracking.sync import is_synced


def events(folder: Path) -> list[dict]:
    return [event for event, _ in Spool(folder).read(0)]


def test_progress_is_that_of_the_last_start(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "d")
    assert spool.progress() == Progress()
    with spool.writing():
        spool.start({}, {})
        spool.metrics(300, {"loss": 0.5})
        spool.finish("KILLED")
        assert spool.progress() == Progress(started=True, status="KILLED", images=300)
        spool.start({}, {})
        spool.metrics(200, {"loss": 0.6})
        assert spool.progress() == Progress(started=True, status=None, images=300)


def test_half_a_line_of_a_crash_is_cut_off(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "d")
    with spool.writing():
        spool.metrics(100, {"loss": 0.5})
    with spool.events.open("ab") as file:
        file.write(b'{"event": "metrics", "images": 20')
    assert len(spool.read(0)) == 1, "a reader leaves an unfinished line alone"
    again = Spool(tmp_path / "d")
    with again.writing():
        again.metrics(200, {"loss": 0.4})
    assert [e["images"] for e in events(tmp_path / "d")] == [100, 200]


def test_half_a_picture_of_a_crash_goes(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "d")
    spool.pictures.mkdir(parents=True)
    left = spool.pictures / ".samples+step+100.png.0a_1b2c3.part"
    left.write_bytes(b"half")
    with spool.writing():
        assert not left.exists()


def test_a_damaged_line_in_the_middle_is_named(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "d")
    with spool.writing():
        spool.metrics(100, {"loss": 0.5})
    spool.events.write_bytes(b"\x00\x00\n" + spool.events.read_bytes())
    with pytest.raises(ValueError, match=r"events\.jsonl is damaged"):
        spool.read(0)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_none_is_refused_by_name(tmp_path: Path, value: float) -> None:
    spool = Spool(tmp_path / "d")
    with spool.writing(), pytest.raises(ValueError, match="grad_norm"):
        spool.metrics(100, {"grad_norm": value})


def test_a_picture_is_kept_exactly(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    spool = Spool(tmp_path / "d")
    with spool.writing():
        spool.picture("samples", pixels, 100)
    (png,) = (tmp_path / "d" / "pictures").glob("samples+step+100+*.png")
    assert np.array_equal(np.asarray(Image.open(png)), pixels)


@pytest.mark.parametrize(("shape", "size"), [((300, 600), (256, 128)), ((30, 40), (40, 30))])
def test_the_copy_for_mlflows_page_has_at_most_256_pixels_a_side(
    tmp_path: Path, shape: tuple[int, int], size: tuple[int, int]
) -> None:
    spool = Spool(tmp_path / "d")
    with spool.writing():
        spool.picture("samples", np.zeros(shape, np.uint8), 100)
    (copy,) = (tmp_path / "d" / "pictures").glob("samples+step+100+*+compressed.webp")
    assert Image.open(copy).size == size


@pytest.mark.parametrize("shape", [(2, 4, 4, 1), (4,), (4, 4, 2)])
def test_what_is_no_picture_is_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    spool = Spool(tmp_path / "d")
    with spool.writing(), pytest.raises(ValueError, match="uint8"):
        spool.picture("samples", np.zeros(shape, np.uint8), 100)


def hold(folder: Path, holding: object, done: object) -> None:
    with Spool(folder).writing():
        holding.set()  # type: ignore[attr-defined]  # an Event
        done.wait()  # type: ignore[attr-defined]


def test_one_process_writes_at_a_time(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    holding, done = context.Event(), context.Event()
    child = context.Process(target=hold, args=(tmp_path / "d", holding, done))
    child.start()
    try:
        assert holding.wait(60)
        with pytest.raises(LockBusyError, match="is running now"), Spool(tmp_path / "d").writing():
            pass
    finally:
        done.set()
        child.join()
    with Spool(tmp_path / "d").writing():
        pass


def test_a_record_is_synced_once_one_server_holds_the_whole(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "d")
    with spool.writing():
        spool.metrics(100, {"loss": 0.5})
    assert not is_synced(spool)
    for server, offset, expected in (("gone", 1, False), ("here", spool.events.stat().st_size, True)):
        files.write_json(spool.folder / f"shipped-{server}.json", {"run_id": "r", "offset": offset})
        assert is_synced(spool) is expected
