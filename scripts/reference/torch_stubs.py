"""Make the CPU half of a CUDA build of PyTorch importable where no CUDA library is installed.

The Linux wheel of torch on PyPI is linked against two gigabytes of CUDA libraries. This program looks
up which of them cannot be found, and writes for each an empty shared library that exports the symbols
torch asks of it. Every stand-in function answers "no CUDA device", so torch falls back to the CPU.

    python torch_stubs.py SITE_PACKAGES/torch/lib

The stand-ins are written into that folder itself (each library of torch searches its own folder), so no
LD_LIBRARY_PATH is needed. A C compiler is. Running it twice is harmless.
"""

import ctypes
import os
import struct
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

MANIFEST = "limbeck-stubs.txt"
NO_DEVICE = 100  # cudaErrorNoDevice, and CUDA_ERROR_NO_DEVICE of the driver
DT_NEEDED, SHT_DYNAMIC, SHT_DYNSYM, SHT_VERNEED, SHT_VERSYM = 1, 6, 11, 0x6FFFFFFE, 0x6FFFFFFF
GLOBAL, WEAK = 1, 2


@dataclass
class Library:
    """What the dynamic linker knows of one shared library."""

    needed: list[str] = field(default_factory=list)
    defined: set[str] = field(default_factory=set)
    # (symbol, is it weak, library it is expected in or None, version or None)
    wanted: list[tuple[str, bool, str | None, str | None]] = field(default_factory=list)


def read_library(path: Path) -> Library:
    """Reads the dynamic section, symbols and version needs of a 64-bit little-endian ELF file."""
    data = path.read_bytes()
    if data[:6] != b"\x7fELF\x02\x01":
        raise SystemExit(f"{path}: not a 64-bit little-endian ELF file")
    (table,) = struct.unpack_from("<Q", data, 0x28)
    size, count = struct.unpack_from("<HH", data, 0x3A)
    sections = [struct.unpack_from("<IIQQQQIIQQ", data, table + i * size) for i in range(count)]

    def text(strings: int, offset: int) -> str:
        start = sections[strings][4] + offset
        return data[start : data.index(b"\0", start)].decode()

    by_kind = {s[1]: s for s in sections}
    out = Library()
    if SHT_DYNAMIC in by_kind:
        _, _, _, _, at, length, link, *_ = by_kind[SHT_DYNAMIC]
        for tag, value in struct.iter_unpack("<QQ", data[at : at + length]):
            if tag == DT_NEEDED:
                out.needed.append(text(link, value))

    versions: dict[int, tuple[str, str]] = {}
    if SHT_VERNEED in by_kind:
        _, _, _, _, at, _, link, files, *_ = by_kind[SHT_VERNEED]
        for _ in range(files):
            _, entries, file, first, following = struct.unpack_from("<HHIII", data, at)
            entry = at + first
            for _ in range(entries):
                _, _, index, name, step = struct.unpack_from("<IHHII", data, entry)
                versions[index] = (text(link, file), text(link, name))
                entry += step
            at += following

    if SHT_DYNSYM in by_kind:
        _, _, _, _, at, length, link, *_ = by_kind[SHT_DYNSYM]
        marks = by_kind.get(SHT_VERSYM)
        symbols = struct.iter_unpack("<IBBHQQ", data[at : at + length])
        for i, (name, info, _, section, _, _) in enumerate(symbols):
            if not name:
                continue
            symbol = text(link, name)
            if section:
                out.defined.add(symbol)
                continue
            index = struct.unpack_from("<H", data, marks[4] + 2 * i)[0] & 0x7FFF if marks else 0
            out.wanted.append((symbol, info >> 4 == WEAK, *versions.get(index, (None, None))))
    return out


def loadable(name: str) -> bool:
    """Whether the system's own search path has this library."""
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def body(symbol: str) -> str:
    """A C definition whose return value keeps torch's start-up code alive."""
    if symbol == "__cudaRegisterFatBinary":
        return f"void *{symbol}(void) {{ static void *handle[16]; return handle; }}"
    if symbol.startswith("__cuda"):
        return f"int {symbol}(void) {{ return 0; }}"
    if symbol.endswith(("ErrorString", "ErrorName")):
        return f'const char *{symbol}(void) {{ return "no CUDA on this machine"; }}'
    return f"long {symbol}(void) {{ return {NO_DEVICE}; }}"


def build(target: Path, by_version: dict[str | None, set[str]]) -> None:
    """Compiles one stand-in library."""
    with tempfile.TemporaryDirectory() as scratch:
        source, script = Path(scratch, "stub.c"), Path(scratch, "stub.map")
        names = sorted(set().union(*by_version.values()))
        source.write_text("\n".join(map(body, names)) + "\n")
        named = {v: s for v, s in by_version.items() if v}
        script.write_text("".join(f"{v} {{ global: {'; '.join(sorted(s))}; }};\n" for v, s in named.items()))
        command = [os.environ.get("CC", "cc"), "-w", "-O0", "-shared", "-fPIC", "-fno-builtin"]
        command += [f"-Wl,-soname,{target.name}", "-o", str(target), str(source)]
        if named:
            command.append(f"-Wl,--version-script={script}")
        subprocess.run(command, check=True)


def main() -> None:
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    folder = Path(sys.argv[1])
    manifest = folder / MANIFEST
    ours = set(manifest.read_text().split()) if manifest.exists() else set()
    present = {p.name: p for p in folder.glob("*.so*") if p.name not in ours}
    libraries = [read_library(p) for p in present.values()]

    asked = {n for lib in libraries for n in lib.needed} - present.keys()
    missing = sorted(n for n in asked if not loadable(n))
    if not missing:
        print("nothing to do: every library that torch needs is here")
        return
    defined = set().union(*(lib.defined for lib in libraries))
    # Symbols without a version could come from any library: all go into the first stand-in.
    stubs: dict[str, dict[str | None, set[str]]] = {n: defaultdict(set) for n in missing}
    for lib in libraries:
        for symbol, weak, file, version in lib.wanted:
            if symbol in defined:
                continue
            if file in stubs:
                stubs[file][version].add(symbol)
            elif file is None and not weak and not symbol.startswith(("_Z", "Py", "_Py")):
                stubs[missing[0]][None].add(symbol)
    for name, by_version in stubs.items():
        build(folder / name, by_version)
    manifest.write_text("\n".join(missing) + "\n")
    print(f"{len(missing)} stand-ins written: {' '.join(missing)}")


if __name__ == "__main__":
    main()
