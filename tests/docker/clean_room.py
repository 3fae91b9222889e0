"""Runs a Dockerfile's instructions without a container engine: in an empty folder, with a Python that has no packages.

    python -m tests.docker.clean_room docker/Dockerfile runtime FOLDER

What the image has at `/` lies in FOLDER: paths of its instructions are led there. Instructions that change the system
itself (packages of Debian, users) are named and left out; mounts of caches are the machine's own.
"""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
SYSTEM = ("apt-get ", "groupadd ", "useradd ")


@dataclass(frozen=True)
class Stage:
    """A stage of a Dockerfile: the stage or image that it starts from, and its instructions."""

    base: str
    told: list[tuple[str, str]] = field(default_factory=list)


def instructions(path: Path) -> list[tuple[str, str]]:
    """Words of a Dockerfile and what follows them, without comments and with lines joined."""
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]


def stages(path: Path) -> dict[str, Stage]:
    """The stages of a Dockerfile by name, in order."""
    found: dict[str, Stage] = {}
    for word, rest in instructions(path):
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            found[name] = Stage(base)
        else:
            found[list(found)[-1]].told.append((word, rest))
    return found


class CleanRoom:
    """The file systems of the stages, each a folder, and what was left out."""

    def __init__(self, dockerfile: Path, folder: Path) -> None:
        self.stages = stages(dockerfile)
        self.folder = folder
        self.left_out: list[str] = []
        self.base = folder / "python"
        self._done: dict[str, dict[str, str]] = {}
        self._where: dict[str, str] = {}

    def build(self, name: str) -> dict[str, str]:
        """Run a stage, after those that it starts from or copies from; returns its environment."""
        if name in self._done:
            return self._done[name]
        stage = self.stages[name]
        root = self.folder / name
        if stage.base in self.stages:
            environment = dict(self.build(stage.base))
            shutil.copytree(self.folder / stage.base, root, symlinks=True, copy_function=os.link)
            _moved(root, self.folder / stage.base)
            environment = {key: value.replace(f"/{stage.base}/", f"/{name}/") for key, value in environment.items()}
        else:
            root.mkdir(parents=True)
            if not self.base.exists():
                subprocess.run([sys.executable, "-m", "venv", str(self.base)], check=True)
            environment = {"PATH": f"{self.base}/bin:/usr/bin:/bin", "HOME": str(root / "root")}
        where = root / self._where.get(stage.base, "")
        for word, rest in stage.told:
            if word == "WORKDIR":
                self._where[name] = rest.lstrip("/")
                where = root / self._where[name]
                where.mkdir(parents=True, exist_ok=True)
            elif word == "ENV":
                for key, value in (each.split("=", 1) for each in rest.split()):
                    environment[key] = self._led(value.replace("$PATH", environment["PATH"]), root)
            elif word == "COPY":
                self._copy(rest, root, where)
            elif word == "RUN":
                self._run(rest, root, where, environment)
        self._where.setdefault(name, self._where.get(stage.base, ""))
        self._done[name] = environment
        return environment

    def _led(self, text: str, root: Path) -> str:
        return re.sub(r"(?<![\w./])/(opt|build|app|cache|data|models|sources|webbody)\b", rf"{root}/\1", text)

    def _copy(self, rest: str, root: Path, where: Path) -> None:
        words = rest.split()
        origin = ROOT
        if words[0].startswith("--from="):
            other = words.pop(0).removeprefix("--from=")
            self.build(other)
            origin = self.folder / other
        *sources, target = words
        for source in sources:
            found = origin / source.lstrip("/")
            to = root / target.lstrip("/") if target.startswith("/") else where / target
            if found.is_dir():
                ours = origin == ROOT
                unseen = shutil.ignore_patterns("__pycache__", "*.log") if ours else None
                shutil.copytree(
                    found, to, symlinks=True, ignore=unseen, copy_function=shutil.copy2 if ours else os.link
                )
                _moved(to, found)
            else:
                to = to / found.name if target.endswith("/") else to
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(found, to)

    def _run(self, rest: str, root: Path, where: Path, environment: dict[str, str]) -> None:
        command = re.sub(r"^--mount=\S+\s+", "", rest)
        if any(word in command for word in SYSTEM):
            self.left_out.append(command)
            return
        cache = {"UV_CACHE_DIR": os.environ.get("UV_CACHE_DIR", str(Path.home() / ".cache" / "uv"))}
        registry = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "UV_", "SSL_"))}
        subprocess.run(
            ["sh", "-ec", self._led(command, root)], cwd=where, env=registry | cache | environment, check=True
        )


def _moved(folder: Path, before: Path) -> None:
    """Scripts of a virtual environment name its Python by path: it is copied to the same path in an image, not here."""
    for script in folder.rglob("bin/*"):
        if script.is_file() and not script.is_symlink():
            head = script.read_bytes()
            if head.startswith(b"#!") and str(before).encode() in head:
                mode = script.stat().st_mode
                script.unlink()  # it may be a link to the one of the other stage
                script.write_bytes(head.replace(str(before).encode(), str(folder).encode()))
                script.chmod(mode)


if __name__ == "__main__":
    room = CleanRoom(Path(sys.argv[1]), Path(sys.argv[3]).resolve())
    print(room.build(sys.argv[2]))
    print("left out:", *room.left_out, sep="\n  ")
