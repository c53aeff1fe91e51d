"""The recipe of nano in a few minutes of one large GPU, on a machine that nothing but small files reaches.

    python lab/nano/gpu.py pieces ../runs/native ../shared/data/train -o pieces     # here: archives of at most 44 MiB
    python lab/nano/gpu.py unpack pieces-1 /tmp/photos                              # there, for every archive
    python lab/nano/gpu.py train /tmp/photos --start voc.npz --minutes 9 -o OUT     # there; again with --resume goes on
    python lab/nano/gpu.py join OUT run/checkpoint.pt                               # here, or there before --resume

`train` is configs/nano.yaml with more views a step and an end by the clock. What it leaves in OUT are pieces of at most
15 MiB: the checkpoint, the model, the metrics.
"""

from __future__ import annotations

import argparse
import io
import shutil
import tarfile
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import yaml

PIECE, PART = 44 * 2**20, 15 * 2**20  # bytes of an archive of photos, of a part of the checkpoint
RECIPE = Path("configs/nano.yaml")


def small(path: Path, longest: int) -> bytes:
    """A photo or a label map with its longer side at most ``longest`` pixels, as a file."""
    picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if picture is None:
        raise ValueError(f"{path} is no picture that OpenCV reads")
    scale, is_map = longest / max(picture.shape[:2]), path.suffix == ".png"
    if scale < 1:
        size = (round(picture.shape[1] * scale), round(picture.shape[0] * scale))
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_NEAREST if is_map else cv2.INTER_AREA)
    elif is_map:
        return path.read_bytes()
    quality = [cv2.IMWRITE_PNG_COMPRESSION, 9] if is_map else [cv2.IMWRITE_JPEG_QUALITY, 82]
    return bytes(cv2.imencode(path.suffix, picture, quality)[1])


def files(roots: Sequence[Path]) -> Iterator[tuple[Path, str]]:
    """(file, name in the archive) of all that the recipe names, each folder from the first root that has it."""
    data = yaml.safe_load(RECIPE.read_text())["data"]
    for name in (*data["folders"], *data["cutouts"]):
        folder = next(root / name for root in roots if (root / name).is_dir())
        for path in sorted(folder.rglob("*")):
            if path.suffix in (".jpg", ".png"):
                yield path, str(path.relative_to(folder.parent))


def write_pieces(roots: Sequence[Path], output: Path, longest: int) -> None:
    """Archives <output>-1/photos.tar, <output>-2/photos.tar ..., each with some of every folder."""
    todo, number = deque(sorted(files(roots), key=lambda item: (item[0].stem, item[1]))), 0
    content = small(todo[0][0], longest)
    while todo:
        number, size = number + 1, 0
        home = output.with_name(f"{output.name}-{number}")
        home.mkdir(parents=True)
        with tarfile.open(home / "photos.tar", "w") as archive:
            while todo and size + len(content) < PIECE:
                entry = tarfile.TarInfo(todo.popleft()[1])
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
                size += len(content) + 1024
                content = small(todo[0][0], longest) if todo else b""
    print(f"{number} archives")


def train(photos: Path, start: Path, minutes: float, output: Path, batch: int, steps: int | None, resume: bool) -> None:
    """The recipe over ``photos``; leaves parts in ``output``."""
    from segue.jobs.train import train as run
    from segue.training.config import TrainConfig

    fields = yaml.safe_load(RECIPE.read_text())
    work = photos.parent / "nano-run"
    fields |= {"pretrained_backbone": start, "batch": batch, "output": work, "threads": 16, "resume": resume}
    fields |= {"steps": steps, "minutes": None if steps else minutes, "checkpoint_minutes": 1.0}
    fields["data"] |= {"root": photos, "cache": photos.parent / "cache"}
    output.mkdir(parents=True, exist_ok=True)
    result = run(TrainConfig.from_fields(**fields), on_row=lambda row: print(row, flush=True))
    content = (work / "checkpoint.pt").read_bytes()
    for k in range(0, len(content), PART):
        (output / f"checkpoint-{k // PART}.part").write_bytes(content[k : k + PART])
    for path in (*result.model.iterdir(), work / "metrics.jsonl"):
        shutil.copyfile(path, output / path.name)
    print(f"{result.steps} steps in {result.seconds} s")


def join(parts: Path, checkpoint: Path) -> None:
    """One checkpoint again of its parts."""
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    found = sorted(parts.glob("checkpoint-*.part"), key=lambda path: int(path.stem.split("-")[1]))
    checkpoint.write_bytes(b"".join(path.read_bytes() for path in found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser("pieces")
    verb.add_argument(
        "roots", type=Path, nargs="+", help="folders of the recipe's folders; the first that has one counts"
    )
    verb.add_argument("-o", "--output", type=Path, required=True)
    verb.add_argument("--longest", type=int, default=720, help="pixels of a photo's longer side at most")
    verb = verbs.add_parser("unpack")
    verb.add_argument("piece", type=Path)
    verb.add_argument("photos", type=Path)
    verb = verbs.add_parser("train")
    verb.add_argument("photos", type=Path)
    verb.add_argument("--start", type=Path, required=True, help="arrays of the pretrained backbone")
    verb.add_argument("--minutes", type=float, default=9.0)
    verb.add_argument("--steps", type=int, help="in place of minutes, to try it")
    verb.add_argument("--batch", type=int, default=64)
    verb.add_argument("--resume", action="store_true")
    verb.add_argument("-o", "--output", type=Path, required=True)
    verb = verbs.add_parser("join")
    verb.add_argument("parts", type=Path)
    verb.add_argument("checkpoint", type=Path)
    given = parser.parse_args()
    if given.verb == "pieces":
        write_pieces(given.roots, given.output, given.longest)
    elif given.verb == "unpack":
        with tarfile.open(given.piece / "photos.tar") as archive:
            archive.extractall(given.photos, filter="data")
    elif given.verb == "join":
        join(given.parts, given.checkpoint)
    else:
        train(given.photos, given.start, given.minutes, given.output, given.batch, given.steps, given.resume)


if __name__ == "__main__":
    main()
