"""State on disk: safetensors and JSON, checksummed, never half written, never pickle.

Everything is written to a temporary name in the same folder, fsynced and renamed: a reader sees the old
file or the new one, whatever is killed when.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thrum.errors import DamagedError, StorageError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

SCHEMA = 1
SECRET_BYTES = 32
PARSING = threading.Lock()
"""Held while NumPy reads a header: it parses Python, which CPython 3.11 cannot in two threads at once
(SystemError: AST constructor recursion depth mismatch)."""


@contextmanager
def replacing(path: Path, *, private: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path`; when the block ends well, it becomes `path`, durably.

    A private file is readable by its owner alone from the first byte, whatever the umask.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if private:
            os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        yield temporary
        fsync(temporary)
        temporary.replace(path)
        fsync(path.parent)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error}") from error
    finally:
        with suppress(OSError):  # it may never have been there
            temporary.unlink()


def private_folder(path: Path) -> Path:
    """Make a folder that its owner alone can open, whatever the umask, or make it so; return it."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.chmod(0o700)
    except OSError as error:
        raise StorageError(
            f"{path} cannot be made a folder that its owner alone may open: {error.strerror}; "
            f"choose another, or give the right to write there"
        ) from error
    return path


def write_bytes(path: Path, content: bytes, *, private: bool = False) -> None:
    """Write `content` to `path` atomically; `private` as in `replacing`."""
    with replacing(path, private=private) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str, *, private: bool = False) -> None:
    """Write `content` to `path` atomically, as UTF-8."""
    write_bytes(path, content.encode("utf-8"), private=private)


def write_json(path: Path, content: Any, *, private: bool = False) -> None:
    """Write `content` to `path` atomically, as JSON that a person can read."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_text(path, text, private=private)


def read_json(path: Path) -> Any:
    """Return the JSON in `path`; a missing or damaged file is a `StorageError`."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise StorageError(f"{path} is missing") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DamagedError(f"{path} is not valid JSON: {error}") from error


def write_sealed(path: Path, content: Mapping[str, Any], *, private: bool = False) -> None:
    """Write a JSON object that names its own sha256, as ``seal``, atomically."""
    write_json(path, {**content, "seal": _seal(content)}, private=private)


def read_sealed(path: Path, *, unsealed: bool = False) -> dict[str, Any]:
    """Return, without its seal, the object that `write_sealed` wrote.

    Parameters
    ----------
    unsealed
        Whether an object without a seal will do: earlier versions wrote none.

    Raises
    ------
    DamagedError
        Where it is not what was written.
    StorageError
        Where it is missing.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise DamagedError(f"{path} holds no JSON object, but {type(content).__name__}")
    seal = content.pop("seal", None)
    if seal != _seal(content) and not (unsealed and seal is None):
        raise DamagedError(f"{path} is damaged: its content is not what its sha256 was taken of")
    return content


def _seal(content: Mapping[str, Any]) -> str:
    """Return the sha256 of what JSON keeps of `content`, its own seal left out."""
    kept = json.loads(json.dumps({key: content[key] for key in content if key != "seal"}))
    return sha256_bytes(json.dumps(kept, sort_keys=True).encode())


def write_secret(path: Path, secret: bytes) -> None:
    """Write a secret of `SECRET_BYTES`, and their sha256, readable by its owner alone."""
    write_bytes(path, secret + hashlib.sha256(secret).digest(), private=True)


def read_secret(path: Path) -> bytes:
    """Return what `write_secret` wrote; earlier versions wrote no sha256.

    Raises
    ------
    DamagedError
        Where it is not what was written.
    StorageError
        Where it cannot be read.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror}") from error
    secret, checksum = content[:SECRET_BYTES], content[SECRET_BYTES:]
    if len(secret) != SECRET_BYTES or (checksum and checksum != hashlib.sha256(secret).digest()):
        raise DamagedError(f"{path} is damaged: it is not the secret that was written")
    return secret


def kept_secret(path: Path, make: Callable[[], bytes]) -> bytes:
    """Return a secret, made where there is none; one without its sha256 is given it."""
    secret = read_secret(path) if path.exists() else make()
    if not path.exists() or path.stat().st_size == SECRET_BYTES:
        write_secret(path, secret)
    return secret


def write_array(path: Path, array: NDArray[Any], *, private: bool = False) -> str:
    """Write an array as ``.npy`` atomically; return the file's sha256."""
    import numpy as np

    with replacing(path, private=private) as temporary:
        with temporary.open("wb") as file:
            np.save(file, array, allow_pickle=False)
        return sha256(temporary)


def read_array(path: Path, *, mapped: bool = True) -> NDArray[Any]:
    """Return the array in a ``.npy`` file, memory-mapped unless told otherwise; read-only if mapped.

    A mapped array keeps no file open: there may be as many as one likes.
    """
    import numpy as np

    try:
        with PARSING:
            array: NDArray[Any] = np.load(
                path, mmap_mode="r" if mapped else None, allow_pickle=False
            )
        return _mapped(path, array) if isinstance(array, np.memmap) else array
    except FileNotFoundError as error:
        raise StorageError(f"{path} is missing") from error
    except (ValueError, EOFError) as error:
        raise StorageError(f"{path} is not a readable .npy file: {error}") from error
    except (OSError, RuntimeError) as error:
        full = os.strerror(errno.EMFILE) in str(error)
        advice = "; raise the limit of open files: ulimit -n" if full else ""
        raise StorageError(f"cannot read {path}: {error}{advice}") from error


def _mapped(path: Path, array: np.memmap[Any, Any]) -> NDArray[Any]:
    """Return `array` mapped anew, by torch: NumPy's mapping holds a file descriptor as long as it lives."""
    import numpy as np
    import torch

    content = torch.from_file(str(path), size=path.stat().st_size, dtype=torch.uint8).numpy()
    content.flags.writeable = False  # private pages, but shared by all who hold the array
    return np.ndarray(
        array.shape, array.dtype, buffer=content, offset=array.offset, strides=array.strides
    )


def check_sha256(path: Path, expected: str) -> None:
    """Raise a `DamagedError` where a file is not the one of this sha256, or is not there at all."""
    try:
        found = sha256(path)
    except OSError as error:
        raise DamagedError(f"{path} cannot be read: {error.strerror}") from error
    if found != expected:
        raise DamagedError(f"{path} is damaged: its sha256 is {found[:12]}…, not {expected[:12]}…")


def sha256(path: Path) -> str:
    """Return the sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_bytes(content: bytes | memoryview) -> str:
    """Return the sha256 of bytes, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def content_of(array: NDArray[Any]) -> memoryview:
    """Return the bytes of an array in C order, for hashing; copied only where it is laid out otherwise."""
    import numpy as np

    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def save_state(
    folder: Path,
    tensors: Mapping[str, torch.Tensor],
    description: Mapping[str, Any],
    *,
    name: str = "model",
) -> None:
    """Write ``<name>.safetensors`` and ``<name>.json`` into `folder`.

    The JSON holds `description`, the schema number, the sha256 of the tensors and its own; it is written
    last, so that a pair that does not belong together is found out as damage is.
    """
    from safetensors.torch import save

    content = save({key: value.detach().cpu().contiguous() for key, value in tensors.items()})
    write_bytes(folder / f"{name}.safetensors", content)
    write_sealed(
        folder / f"{name}.json",
        {"schema": SCHEMA, "sha256": sha256_bytes(content), **description},
    )


def load_state(
    folder: Path, *, name: str = "model"
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Return what `save_state` wrote: the tensors and the description.

    Raises
    ------
    StorageError
        Where a file is missing or damaged, the two do not belong together, or the schema is a later one.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    description = read_json(folder / f"{name}.json")
    if not isinstance(description, dict) or description.get("schema") != SCHEMA:
        found = description.get("schema") if isinstance(description, dict) else type(description)
        raise StorageError(
            f"{folder / name}.json has schema {found!r}, this version of thrum reads schema {SCHEMA}"
        )
    description = read_sealed(folder / f"{name}.json", unsealed=True)
    path = folder / f"{name}.safetensors"
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise StorageError(f"{path} is missing") from error
    if sha256_bytes(content) != description["sha256"]:
        raise DamagedError(
            f"{path} is damaged or belongs to another {name}.json (its sha256 differs): "
            f"restore both from one copy, or train again"
        )
    try:
        return load(content), description
    except SafetensorError as error:
        raise StorageError(f"{path} is not a safetensors file: {error}") from error


def save_tensors(
    path: Path, tensors: Mapping[str, torch.Tensor], description: Mapping[str, Any]
) -> None:
    """Write tensors and a JSON-able description into one safetensors file: a checkpoint, replaced whole.

    The file holds the sha256 of both.
    """
    from safetensors.torch import save

    content = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    described = {"schema": SCHEMA, **description, "tensors": _sha256_of(content)}
    described["seal"] = _seal(described)
    write_bytes(path, save(content, {"thrum": json.dumps(described)}))


def load_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Return what `save_tensors` wrote; what earlier versions wrote has no checksums.

    Raises
    ------
    DamagedError
        Where it is not what was written.
    StorageError
        Where it is missing, or another kind of file.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get("thrum", "{}")
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except FileNotFoundError as error:
        raise StorageError(f"{path} is missing") from error
    except SafetensorError as error:
        raise StorageError(f"{path} is not a safetensors file: {error}") from error
    try:
        description = json.loads(text)
    except ValueError as error:
        raise DamagedError(f"{path} is damaged: what it says of itself is no JSON") from error
    if not isinstance(description, dict) or description.get("schema") != SCHEMA:
        raise StorageError(f"{path} was not written by this version of thrum")
    seal, checksum = description.pop("seal", None), description.get("tensors")
    if seal is not None and (seal, checksum) != (_seal(description), _sha256_of(tensors)):
        raise DamagedError(f"{path} is damaged: its content is not what its sha256 was taken of")
    description.pop("tensors", None)
    return tensors, description


def _sha256_of(tensors: Mapping[str, torch.Tensor]) -> str:
    """Return the sha256 of tensors with their names, types and shapes."""
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(content_of(tensor.reshape(-1).view(torch.uint8).numpy()))
    return digest.hexdigest()


def fsync(path: Path) -> None:
    """Bring a file, or a folder's list of files, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def under(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """Return the tensors whose names begin with a prefix and a dot, named without these."""
    head = f"{prefix}."
    return {
        name.removeprefix(head): tensor for name, tensor in tensors.items() if name.startswith(head)
    }
