"""Joins the page's modules into few files: a browser then asks for one script instead of fifty.

The sources are ES modules that run as they are; this knows only the forms of import and export that they
use, and refuses any other. A module becomes a block in which its imports are constants; blocks stand in the
order in which the browser would run the modules. Source maps lead back, line by line.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

#: Where the joined files lie, beside the sources: linked/js/main.js is js/main.js with all that it imports.
LINKED = "linked"
#: Holds what each module exports. The main file makes it, the others import it from there.
REGISTRY = "$modules"

IMPORT = re.compile(
    r'^import (?:\{(?P<names>[^}]*)\}|\* as (?P<whole>\w+)) from "(?P<address>[^"]+)";$', re.MULTILINE
)
EXPORT = re.compile(r"^export (?=(?:const|class|function|async function) (?P<name>\w+))", re.MULTILINE)
EXPORTED_NAMES = re.compile(r"(?:^|(?<=;))export ?\{(?P<names>[^}]*)\};?$", re.MULTILINE)
#: A promise that comments name types by, too, which is why they are matched and left alone.
DYNAMIC = re.compile(r'/\*\*.*?\*/|\bimport\("(?P<address>[^"]+)"\)', re.DOTALL)
OWN_ADDRESS = "import.meta.url"
FOREIGN = re.compile(r"^(?:import|export|await)\b.*$|\bexport default\b.*$", re.MULTILINE)

CSS_IMPORT = re.compile(r'^@import "([^"]+)";\n', re.MULTILINE)
CSS_URL = re.compile(r'url\("(?!data:)([^"]+)"\)')


class LinkError(ValueError):
    """A module has a form that is not known here, or modules import each other."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Module:
    """A source, and what it is joined by."""

    path: str
    #: With imports turned into constants, line by line where it was.
    text: str
    #: Paths of the modules that must have run before this one.
    imports: tuple[str, ...]
    #: Paths of the modules that it may ask for when it runs.
    later: tuple[str, ...]
    #: Names inside by the names that others use.
    exports: Mapping[str, str]


def read_module(path: str, source: str) -> Module:
    """Raises LinkError."""
    imports: list[str] = []
    exports: dict[str, str] = {}

    def take_import(found: re.Match[str]) -> str:
        imports.append(_join(path, found["address"]))
        bound = found["whole"] or f"{{ {_pairs(found['names'], ': ')} }}"
        return f'const {bound} = {REGISTRY}["{imports[-1]}"];' + "\n" * found[0].count("\n")

    def take_export(found: re.Match[str]) -> str:
        exports[found["name"]] = found["name"]
        return ""

    def take_names(found: re.Match[str]) -> str:
        inner_names = (name.split(" as ") for name in _names(found["names"]))
        exports.update({names[-1]: names[0] for names in inner_names})
        return "\n" * found[0].count("\n")

    text = IMPORT.sub(take_import, source)
    text = EXPORTED_NAMES.sub(take_names, EXPORT.sub(take_export, text))
    if unknown := FOREIGN.search(text):
        raise LinkError(f"{path}: the linker does not know this form: {unknown[0]}")
    later = [_join(path, found["address"]) for found in DYNAMIC.finditer(text) if found["address"]]
    return Module(path=path, text=text, imports=tuple(imports), later=tuple(later), exports=exports)


def _names(inside: str) -> list[str]:
    return [name.strip() for name in inside.split(",") if name.strip()]


def _pairs(inside: str, between: str) -> str:
    return ", ".join(name.replace(" as ", between) for name in _names(inside))


def _join(path: str, address: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), address))


def link_scripts(sources: Mapping[str, str], main: str) -> dict[str, str]:
    """Files to be sent by their path, source maps among them: `main`, and each that is asked for later.

    A module that only one of them needs is part of it; one that several need, but not `main`, has its own.
    Raises LinkError.
    """
    modules = _reachable(sources, main)
    at_first = set(_in_order(modules, [main]))
    entries = sorted({path for module in modules.values() for path in module.later} - at_first)
    needed = {entry: set(_in_order(modules, [entry])) - at_first for entry in entries}
    own_file = {path for path in modules if sum(path in some for some in needed.values()) > 1} | set(entries)
    files = dict(_File(path=main, modules=_in_order(modules, [main]), all=modules).written())
    for path in own_file:
        inside = _in_order(modules, [path], stop=at_first | own_file - {path})
        others = {each for name in inside for each in modules[name].imports} & (own_file - {path})
        files |= _File(path=path, modules=inside, all=modules, main=main, others=sorted(others)).written()
    return files


def _reachable(sources: Mapping[str, str], main: str) -> dict[str, Module]:
    modules: dict[str, Module] = {}
    waiting = [main]
    while waiting:
        path = waiting.pop()
        if path not in modules:
            if path not in sources:
                raise LinkError(f"{path} is imported, but there is no such file")
            modules[path] = read_module(path, sources[path])
            waiting += [*modules[path].imports, *modules[path].later]
    return modules


def _in_order(
    modules: Mapping[str, Module], starts: Iterable[str], stop: Iterable[str] = frozenset()
) -> list[str]:
    """Those that `starts` import, themselves last: each after all that it needs. Raises LinkError."""
    done: dict[str, None] = {}
    stopped = set(stop)

    def visit(path: str, above: tuple[str, ...]) -> None:
        if path in above:
            raise LinkError(f"These modules import each other: {', '.join(above[above.index(path) :])}")
        if path not in done and path not in stopped:
            for each in modules[path].imports:
                visit(each, (*above, path))
            done[path] = None

    for start in starts:
        visit(start, ())
    return list(done)


@dataclass(frozen=True, kw_only=True, slots=True)
class _File:
    """One file that is to be sent."""

    path: str
    modules: list[str]
    all: Mapping[str, Module]
    main: str | None = None
    others: list[str] = field(default_factory=list)

    def written(self) -> Iterator[tuple[str, str]]:
        """The file and its map, by their paths."""
        lines = list(self._lines())
        name = PurePosixPath(self.path).name
        text = "".join(f"{line}\n" for line, _ in lines)
        yield f"{LINKED}/{self.path}", f"{text}//# sourceMappingURL={name}.map\n"
        yield f"{LINKED}/{self.path}.map", self._map([origin for _, origin in lines])

    def _lines(self) -> Iterator[tuple[str, tuple[int, int] | None]]:
        """Each line, with its source's number and its line there."""
        yield self._head(), None
        for number, path in enumerate(self.modules):
            module = self.all[path]
            yield "{", None
            for line, text in enumerate(self._moved(module).split("\n")):
                yield text, (number, line)
            exports = ", ".join(f"{name}: {inner}" for name, inner in module.exports.items())
            yield f'{REGISTRY}["{path}"] = {{ {exports} }};}}', None
        if self.main is not None and self.all[self.path].exports:
            names = ", ".join(self.all[self.path].exports)
            yield f'export const {{ {names} }} = {REGISTRY}["{self.path}"];', None

    def _head(self) -> str:
        if self.main is None:
            return f"export const {REGISTRY} = {{}};"
        others = "".join(f' import "{self._address(other)}";' for other in self.others)
        return f'import {{ {REGISTRY} }} from "{self._address(self.main)}";{others}'

    def _address(self, path: str) -> str:
        return f"./{posixpath.relpath(path, posixpath.dirname(self.path))}"

    def _moved(self, module: Module) -> str:
        """The module's text with its relative addresses as seen from this file."""

        def moved(found: re.Match[str]) -> str:
            if not found["address"]:
                return found[0]
            return f'import("{self._address(_join(module.path, found["address"]))}")'

        source = posixpath.relpath(module.path, posixpath.dirname(f"{LINKED}/{self.path}"))
        text = DYNAMIC.sub(moved, module.text)
        return text.replace(OWN_ADDRESS, f'new URL("{source}", {OWN_ADDRESS}).href')

    def _map(self, origins: list[tuple[int, int] | None]) -> str:
        folder = posixpath.dirname(f"{LINKED}/{self.path}")
        sources = [posixpath.relpath(path, folder) for path in self.modules]
        return json.dumps({"version": 3, "sources": sources, "names": [], "mappings": mappings(origins)})


def mappings(origins: Iterable[tuple[int, int] | None]) -> str:
    """The `mappings` of a source map (ECMA-426): each line begins where its source and line there say."""
    before = (0, 0)
    segments = []
    for origin in origins:
        if origin is None:
            segments.append("")
            continue
        steps = (0, origin[0] - before[0], origin[1] - before[1], 0)
        segments.append("".join(map(_vlq, steps)))
        before = origin
    return ";".join(segments)


DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def _vlq(value: int) -> str:
    """A number in base 64 of variable length, the sign in its lowest bit."""
    rest = abs(value) << 1 | (value < 0)
    digits = ""
    while True:
        rest, digit = rest >> 5, rest & 31
        digits += DIGITS[digit | 32 if rest else digit]
        if not rest:
            return digits


def link_styles(sources: Mapping[str, str], main: str) -> dict[str, str]:
    """The one stylesheet to be sent: `main`, with what it imports in place. Raises LinkError."""

    def imported(found: re.Match[str]) -> str:
        path = _join(main, found[1])
        return CSS_URL.sub(lambda url: f'url("../../{_join(path, url[1])}")', sources[path])

    text = CSS_IMPORT.sub(imported, sources[main])
    if left := re.search(r"^@import.*", text, re.MULTILINE):
        raise LinkError(f"{main}: the linker does not know this form: {left[0]}")
    return {f"{LINKED}/{main}": text}
