"""Seconds and memory of everything that grows with the number of images, on synthetic 32x32 colour images.

    python bench/million.py [--images 5000 80000] [--workers 1] [--folder DIR] [--out FILE]

For `prepare`, a set is written as PNG files first; without it, the prepared set is written directly, in seconds and not
minutes (--folder keeps both). Each part runs in a separate process. Prints a row for each part and number of images:
seconds summed over cores and of the clock, and the peak resident memory of the process without its workers, which
includes pages of memory-mapped files. `--images 1000000` needs 3 GB of disk, and 12 GB with `prepare`.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

SIDE, CLASSES = 32, 10
SAMPLES, FEATURES, NEIGHBOURS = 2000, 128, 16
"""Generated images of an evaluation, features of the default extractor, and neighbours that it looks at."""
BLOCK = 10_000
LIMIT = 2.0  # prepare.near_duplicate


def write_set(folder: Path, count: int) -> None:
    """Write smooth random images, and one in a hundred again with a few pixels changed."""
    for label in range(CLASSES):
        (folder / str(label)).mkdir(parents=True, exist_ok=True)
    for index in range(count):
        random = np.random.default_rng(index - 1 if index % 100 == 99 else index)
        coarse = Image.fromarray(random.integers(0, 256, (4, 4, 3), dtype=np.uint8))
        pixels = np.array(coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC)) ^ random.integers(0, 8, dtype=np.uint8)
        pixels[0, :2] ^= index % 100 == 99
        Image.fromarray(pixels).save(folder / str(index % CLASSES) / f"{index:07}.png", compress_level=1)


def write_prepared(folder: Path, count: int) -> None:
    """Write what prepare leaves of random images in blocks of 8 pixels, one in a hundred nearly equal to another."""
    from ddpm.common.files import new_npy, write_json, write_npy
    from ddpm.data import profile, statistics
    from ddpm.data.duplicates import NearPairs
    from ddpm.data.manifest import Contents, ImageRecord

    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    images = new_npy(folder / "images.npy", np.uint8, (count, SIDE, SIDE, 3))
    for start in range(0, count, BLOCK):
        coarse = random.integers(0, 256, (min(BLOCK, count - start), 4, 4, 3), dtype=np.uint8)
        coarse[99::100] = coarse[98::100][: len(coarse[99::100])]
        images[start : start + BLOCK] = coarse.repeat(SIDE // 4, axis=1).repeat(SIDE // 4, axis=2)
    images[99::100, 0, 0] ^= 1
    digests = [f"{index:064x}" for index in range(count)]
    records = [ImageRecord(f"{each}.png", each, each, "PNG", "RGB", (SIDE, SIDE), ()) for each in digests]
    labels, heldout = np.arange(count) % CLASSES, np.arange(count) % 5 == 0
    names = tuple(map(str, range(CLASSES)))
    contents = Contents(records, labels, heldout, names, [], NearPairs([], True), [], [])
    contents.write(folder, SIDE, 3)
    write_npy(folder / "labels.npy", labels)
    write_npy(folder / "heldout.npy", heldout)
    profile.collect(images, contents, "").write(folder)
    write_json(folder / "statistics.json", statistics.collect(images, contents) | {"sha256": ""})


def prepare(folder: Path, workers: int) -> None:
    """Stage prepare without DVC."""
    from ddpm.data.prepare import prepare
    from ddpm.data.sources import find

    prepare(
        find(folder / "images"), folder / "prepare", resolution=SIDE, channels=3, labels="folders", background=0,
        holdout=0.2, max_pixels=10_000, max_bad_fraction=0.0, near_duplicate=LIMIT, workers=workers or None,
    )  # fmt: skip


def load(folder: Path, workers: int) -> None:
    """What every later stage does first."""
    from ddpm.data import prepared

    prepared.load(folder / "prepare")


def near(folder: Path, workers: int) -> None:
    """The search for near duplicates alone."""
    from ddpm.data import duplicates

    images = np.load(folder / "prepare" / "images.npy", mmap_mode="r")
    duplicates.near(images, LIMIT, [str(index) for index in range(len(images))])


def drift(folder: Path, workers: int) -> None:
    """The comparison of a set's profile with another's."""
    from ddpm.data import profile
    from ddpm.evaluation import drift

    drift.compare(profile.load(folder / "prepare"), profile.load(folder / "prepare"))


def copies(folder: Path, workers: int) -> None:
    """Generated images that equal a training image."""
    from ddpm.data import prepared
    from ddpm.metrics.memorisation import count_copies

    data = prepared.load(folder / "prepare")
    samples = np.random.default_rng(0).integers(0, 256, (SAMPLES, *data.images.shape[1:]), dtype=np.uint8)
    count_copies(samples, data.train_digests())


def neighbours(folder: Path, workers: int) -> None:
    """The nearest training images of generated ones, by features."""
    from ddpm.metrics.precision_recall import nearest

    random = np.random.default_rng(0)
    count = len(np.load(folder / "prepare" / "labels.npy", mmap_mode="r"))
    features = random.normal(size=(count, FEATURES)).astype(np.float32)
    nearest(random.normal(size=(SAMPLES, FEATURES)).astype(np.float32), features, NEIGHBOURS)


PARTS: dict[str, Callable[[Path, int], None]] = {
    part.__name__: part for part in (prepare, load, near, drift, copies, neighbours)
}


def measure(part: str, folder: Path, workers: int) -> dict[str, float]:
    """Run one part in a separate process."""
    command = [sys.executable, __file__, "--part", part, "--folder", str(folder), "--workers", str(workers)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def run_part(part: str, folder: Path, workers: int) -> None:
    """Run one part here, and print what it took without the start of Python."""
    started = time.perf_counter(), time.process_time()
    PARTS[part](folder, workers)
    clock, own = time.perf_counter() - started[0], time.process_time() - started[1]
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(json.dumps({"cpu_s": own + ended.ru_utime + ended.ru_stime, "clock_s": clock, "peak_bytes": peak()}))


def peak() -> int:
    """Peak resident memory of this process, in bytes."""
    status = Path("/proc/self/status")  # Linux's ru_maxrss begins with that of the process that started this one
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[5000, 80_000])
    parser.add_argument("--workers", type=int, default=0, help="processes of prepare; 0: as many as it chooses")
    parser.add_argument("--folder", type=Path, help="where the sets are kept; default: a temporary folder")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--out", type=Path, help="file of JSON lines to append to")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.part:
        run_part(chosen.part, chosen.folder, chosen.workers)
        return
    with tempfile.TemporaryDirectory() as temporary:
        print(f"{len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()} cores")
        for count in chosen.images:
            folder = (chosen.folder or Path(temporary)) / str(count)
            if "prepare" in chosen.parts and not (folder / "images").exists():
                write_set(folder / "images", count)
            if "prepare" not in chosen.parts and not (folder / "prepare").exists():
                write_prepared(folder / "prepare", count)
            for part in chosen.parts:
                row = {"images": count, "part": part, **measure(part, folder, chosen.workers)}
                print(
                    f"{count:>9,}  {part:<11} {row['cpu_s']:8.2f} s of cores  {row['clock_s']:8.2f} s  "
                    f"{row['peak_bytes'] / 2**20:8.0f} MiB",
                    flush=True,
                )
                if chosen.out:
                    with chosen.out.open("a") as file:
                        file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
