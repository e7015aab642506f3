"""One file a change in changelog.d/, gathered into CHANGELOG.md when a version is made.

`python scripts/changelog.py` prints what is waiting and refuses a file that is not named NAME.KIND.md or is empty;
`python scripts/changelog.py 0.2.0` moves it all, with what stands under Unreleased, under the heading of that version.
"""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
KINDS = {"added": "Added", "changed": "Changed", "fixed": "Mended", "removed": "Removed"}
UNRELEASED = "## Unreleased\n"


class Wrong(Exception):
    """A fragment, a version or the changelog itself is not as expected; the message says what to do."""


def fragments(root: Path) -> dict[str, list[tuple[Path, str]]]:
    """The files of each kind with their text, by name. Raises Wrong for a name or a text that does not do."""
    several: dict[str, list[tuple[Path, str]]] = {kind: [] for kind in KINDS}
    for path in sorted((root / "changelog.d").glob("*")):
        if path.name == "README.md":
            continue
        match = re.fullmatch(r"[a-z0-9-]+\.([a-z]+)\.md", path.name)
        if match is None or match[1] not in KINDS:
            raise Wrong(f"{path.name} is not named NAME.KIND.md, with KIND one of {', '.join(KINDS)}. Rename it.")
        text = path.read_text().strip()
        if not text or text.startswith(("#", "-")):
            raise Wrong(f"{path.name} expects a sentence or two, without heading or bullet; got '{text[:20]}'.")
        several[match[1]].append((path, text))
    return several


def lines(several: dict[str, list[tuple[Path, str]]]) -> str:
    """What is waiting, as bullets under the heading of each kind."""
    parts = []
    for kind, heading in KINDS.items():
        if several[kind]:
            bullets = "\n".join("- " + text.replace("\n", "\n  ") for _, text in several[kind])
            parts.append(f"### {heading}\n\n{bullets}\n")
    return "\n".join(parts)


def release(root: Path, version: str, date: str) -> None:
    """Move what is waiting under the heading of a version, and empty changelog.d. Raises Wrong where it cannot."""
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        raise Wrong(f"A version has three numbers, such as 0.2.0; got '{version}'.")
    path = root / "CHANGELOG.md"
    text, several = path.read_text(), fragments(root)
    if text.count(UNRELEASED) != 1:
        raise Wrong(f"CHANGELOG.md needs exactly one line '{UNRELEASED.strip()}'; it has {text.count(UNRELEASED)}.")
    before, _, after = text.partition(UNRELEASED)
    waiting, _, older = after.partition("\n## ")
    body = "\n".join(part for part in (waiting.strip("\n"), lines(several).strip("\n")) if part).replace("\n### ", "\n\n### ")
    body = re.sub(r"\n{3,}", "\n\n", body)
    if not body:
        raise Wrong("Nothing is waiting in changelog.d or under Unreleased.")
    path.write_text(f"{before}{UNRELEASED}\n## {version}, {date}\n\n{body}\n" + (f"\n## {older}" if older else ""))
    for one in (one for kind in several.values() for one, _ in kind):
        one.unlink()


def main(words: list[str], root: Path = ROOT) -> int:
    try:
        if words:
            release(root, words[0], time.strftime("%Y-%m-%d"))
        else:
            print(lines(fragments(root)), end="")
    except Wrong as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
