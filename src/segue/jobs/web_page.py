"""nano as static files: a page that segments photos in the browser, without a server that computes and without a
request to anyone else.

The page's modules lie in ``site/``; they restate the arithmetic of nano's views. ONNX Runtime Web comes from its npm
package, which is fetched once with npm, checked against a fixed digest and kept.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
import tarfile
import tempfile
from importlib.resources import files
from pathlib import Path

from segue.core.errors import CheckpointError, DownloadError, MissingFile
from segue.core.files import cache_folder
from segue.core.segmenter import Segmenter

PAGE = "index.html"
RUNTIME_VERSION = "1.30.0"
RUNTIME_PACKAGE = f"onnxruntime-web@{RUNTIME_VERSION}"
RUNTIME_ARCHIVE = f"onnxruntime-web-{RUNTIME_VERSION}.tgz"
RUNTIME_SHA512 = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
RUNTIME_FILES = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
NOT_SERVED = ("jsconfig.json",)
RUNTIME_LICENCE = (
    "ONNX Runtime Web, Copyright (c) Microsoft Corporation, MIT licence: https://github.com/microsoft/onnxruntime\n"
)


def write_page(model: Segmenter, folder: Path, runtime: Path | None = None) -> int:
    """Write the page of a nano into ``folder``; how many bytes it has.

    ``runtime`` is the npm package of ONNX Runtime Web where npm cannot fetch it. Raises ``ConfigError`` for a model
    that the page cannot answer for, ``DownloadError`` without the package, ``CheckpointError`` for another one.
    """
    graphs = model.browser_graphs()
    archive = runtime if runtime is not None else fetched_runtime()
    unpack_runtime(archive, folder / "runtime")
    here = Path(str(files("segue")))
    for path in sorted((here / "jobs" / "site").iterdir()):
        if path.name not in NOT_SERVED:
            shutil.copyfile(path, folder / path.name)
    (folder / "samples").mkdir()
    for path in sorted((here / "samples").iterdir()):
        shutil.copyfile(path, folder / "samples" / path.name)
    for name, graph in graphs.items():
        (folder / f"{name}.onnx").write_bytes(graph if isinstance(graph, bytes) else graph.read_bytes())
    return _keep_offline(folder)


def fetched_runtime() -> Path:
    """The npm package of ONNX Runtime Web, from the cache or fetched with npm. Raises ``DownloadError``."""
    kept = cache_folder("web") / RUNTIME_ARCHIVE
    if kept.is_file():
        return kept
    npm = shutil.which("npm")
    problem = "npm is not installed"
    if npm is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
            words = [npm, "pack", RUNTIME_PACKAGE, "--silent", "--pack-destination", folder]
            done = subprocess.run(words, cwd=folder, capture_output=True, text=True)
            made = Path(folder, RUNTIME_ARCHIVE)
            if done.returncode == 0 and made.is_file():
                check_runtime(made)
                return made.replace(kept)
        problem = f"npm answered: {(done.stderr.strip() or done.stdout.strip() or 'nothing').splitlines()[-1]}"
    raise DownloadError(
        f"no package {RUNTIME_PACKAGE} ({problem})",
        "ONNX Runtime Web, once",
        f"run 'npm pack {RUNTIME_PACKAGE}' where npm works and pass --runtime {RUNTIME_ARCHIVE}",
    )


def check_runtime(archive: Path) -> None:
    """Raise ``CheckpointError`` unless the archive is the one that the page was tested with."""
    if not archive.is_file():
        raise MissingFile(str(archive), f"the npm package {RUNTIME_ARCHIVE}")
    if base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode() != RUNTIME_SHA512:
        raise CheckpointError(f"{archive}, which has another content", f"the npm package {RUNTIME_ARCHIVE}, unchanged")


def unpack_runtime(archive: Path, folder: Path) -> None:
    """The three files that a browser asks for, and whose they are."""
    check_runtime(archive)
    folder.mkdir(parents=True)
    with tarfile.open(archive) as package:
        for name in RUNTIME_FILES:
            member = package.extractfile(f"package/dist/{name}")
            assert member is not None  # the digest says so
            (folder / name).write_bytes(member.read())
    (folder / "LICENCE.txt").write_text(RUNTIME_LICENCE)


def _keep_offline(folder: Path) -> int:
    """Tell the service worker the files and their version; the bytes of all."""
    paths = sorted(p for p in folder.rglob("*") if p.is_file())
    sha = hashlib.sha256()
    for path in paths:
        sha.update(f"{path.relative_to(folder).as_posix()}\0".encode() + path.read_bytes())
    names = ["./", *(p.relative_to(folder).as_posix() for p in paths if p.name != "offline.js")]
    script = folder / "offline.js"
    text = script.read_text().replace("{{version}}", f"segue-{sha.hexdigest()[:16]}")
    script.write_text(text.replace("{{files}}", json.dumps(names)))
    return sum(path.stat().st_size for path in paths)
