"""The commands and manifests of README.md and docs/, for `.ci/check-docs` and for the groups that run and apply them."""

import pathlib
import re
from typing import NamedTuple

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[3]
LANGUAGES = {"sh", "console", "yaml", "text"}


class Block(NamedTuple):
    page: str
    line: int
    language: str
    text: str


class Command(NamedTuple):
    page: str
    line: int
    text: str
    output: str | None  # of a `console` block


class PageError(Exception):
    """A block that cannot be read, or a command or manifest that is not in any page."""


def pages():
    """Paths of the pages, relative to the repository."""
    return ["README.md", "CONTRIBUTING.md", "SECURITY.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]


def blocks(page):
    """The fenced blocks of a page. Indented blocks are an error: they have no language."""
    found, fence, begin = [], None, 0
    lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, 1):
        if line.startswith("```"):
            if fence is None:
                fence, begin = line[3:], number
                if fence not in LANGUAGES:
                    raise PageError(f"{page}:{number}: a block of {fence!r}; known are {sorted(LANGUAGES)}")
            else:
                found.append(Block(page, begin, fence, "\n".join(lines[begin:number - 1]) + "\n"))
                fence = None
        elif fence is None and line.startswith("    ") and not lines[number - 2].strip():
            raise PageError(f"{page}:{number}: an indented block; fence it")
    if fence is not None:
        raise PageError(f"{page}:{begin}: the block does not end")
    return found


def commands():
    """All commands, with continued lines joined and without comments."""
    for page in pages():
        for block in blocks(page):
            if block.language == "sh":
                yield from script(block)
            elif block.language == "console":
                yield from transcript(block)


def script(block):
    text = re.sub(r"\\\n\s*", "", block.text)
    for line in text.splitlines():
        line = re.sub(r"\s{2,}#.*|^#.*", "", line).strip()
        if line:
            yield Command(block.page, block.line, line, None)


def transcript(block):
    for entry in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, _, output = entry.partition("\n")
        yield Command(block.page, block.line, command, output)


def documented(command):
    """The command, if a page has exactly this one. `.ci/check-docs` finds these calls: their commands count as tested."""
    if command not in {each.text for each in commands()}:
        raise PageError(f"no page has the command: {command}")
    return command


def file_name(block):
    """The name in the first line of a block that is a file of another program: `# prometheus.yaml`."""
    name = re.match(r"# (\S+\.yaml)\n", block.text)
    return name and name[1]


def manifests():
    """Pairs of a block and each of its manifests, completed to an object of the API."""
    for page in pages():
        for block in blocks(page):
            if block.language == "yaml" and not file_name(block):
                for document in yaml.safe_load_all(block.text):
                    yield block, complete(document, f"{block.page}:{block.line}")


def complete(document, location):
    """A fragment of a pod as a pod with an app."""
    if "kind" in document:
        return document
    app = {"name": "web", "image": "localhost/app:1"}
    if "spec" in document:
        spec = document["spec"]
    elif set(document) <= {"livenessProbe", "readinessProbe", "startupProbe", "lifecycle"}:
        spec = {"containers": [{**app, **document}]}
    elif set(document) == {"env"}:
        spec = {"containers": [{**app, "name": "probelet", "image": "localhost/probelet:0.1.0", **document}]}
    else:
        raise PageError(f"{location}: no object and no known part of a pod: {sorted(document)}")
    spec.setdefault("containers", [app])
    for container in spec.get("initContainers", []):
        container.setdefault("image", "localhost/probelet:0.1.0")
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": re.sub("[^a-z0-9]+", "-", location.lower())}, "spec": spec}


def slug(heading):
    """The anchor of a heading, as GitHub and mdBook make it."""
    text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").replace("*", "")
    return re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")


def anchors(path):
    found, fenced = set(), False
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif not fenced and (heading := re.match(r"#+ (.*)", line)):
            anchor, number = slug(heading[1]), 0
            while f"{anchor}-{number}" * bool(number) in found or (not number and anchor in found):
                number += 1
            found.add(f"{anchor}-{number}" if number else anchor)
    return found


def links(page):
    """Pairs of line number and target of each link and picture outside code."""
    fenced = False
    for number, line in enumerate((ROOT / page).read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("```"):
            fenced = not fenced
        if not fenced:
            for target in re.findall(r"\]\(([^)\s]+)\)", line):
                yield number, target
