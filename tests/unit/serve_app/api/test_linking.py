"""The page's modules joined into files: what a module may look like, what is where, and the way back."""

from __future__ import annotations

import json
import re
import subprocess
from itertools import accumulate
from pathlib import Path
from shutil import which

import pytest

from serve_app.api.linking import LinkError, link_scripts, link_styles, mappings, read_module
from serve_app.api.pages import FRONTEND, load_site

PAGE = {
    "js/main.js": 'import { tell } from "./tell.js";\ntell(1);\nvoid import("./later.js");\n',
    "js/tell.js": 'import * as out from "./out.js";\n/** Tells. */\nexport const tell = (n) => out.put(n);\n',
    "js/out.js": "export function put(n) {\n  console.log(n, import.meta.url);\n}\n",
    "js/later.js": (
        'import {\n  put,\n} from "./out.js";\nimport { two } from "./both.js";\n'
        'export const later = 1;\nput(two);\nvoid import("./last.js");\n'
    ),
    "js/last.js": (
        'import { two as too } from "./both.js";\nimport { tell } from "./tell.js";\ntell(too + 1);\n'
    ),
    "js/both.js": "const inner = 2;\nexport { inner as two };\n",
}


@pytest.mark.parametrize(
    "line",
    [
        'import "./effect.js";',
        'import thing from "./thing.js";',
        "export default 1;",
        'export * from "./all.js";',
        'export { a } from "./a.js";',
        "export let count = 0;",
        "export const { a, b } = both;",
        "await start();",
    ],
)
def test_a_form_that_is_not_known_is_refused_with_its_file(line: str) -> None:
    with pytest.raises(LinkError, match=re.escape(f"js/a.js: the linker does not know this form: {line}")):
        read_module("js/a.js", f"const before = 1;\n{line}\n")


def test_modules_that_import_each_other_are_refused() -> None:
    pair = {"a.js": 'import { b } from "./b.js";\n', "b.js": 'import { a } from "./a.js";\n'}
    with pytest.raises(LinkError, match=r"a\.js, b\.js"):
        link_scripts(pair, "a.js")


def test_an_import_that_leads_nowhere_is_refused() -> None:
    with pytest.raises(LinkError, match=r"js/none\.js"):
        link_scripts({"js/a.js": 'import { b } from "./none.js";\n'}, "js/a.js")


def test_what_comes_later_is_not_in_the_first_file_and_what_is_in_the_first_is_in_no_other() -> None:
    linked = link_scripts(PAGE, "js/main.js")
    scripts = {name: text for name, text in linked.items() if name.endswith(".js")}
    homes = {path: [n for n, text in scripts.items() if f'$modules["{path}"] =' in text] for path in PAGE}
    assert homes == {
        "js/main.js": ["linked/js/main.js"],
        "js/tell.js": ["linked/js/main.js"],
        "js/out.js": ["linked/js/main.js"],
        "js/later.js": ["linked/js/later.js"],
        "js/last.js": ["linked/js/last.js"],
        "js/both.js": ["linked/js/both.js"],
    }


def test_linked_modules_do_what_their_sources_do(tmp_path: Path) -> None:
    node = which("node")
    if node is None:
        pytest.skip("no Node.js")
    (tmp_path / "package.json").write_text('{"type": "module"}')
    for name, text in (PAGE | link_scripts(PAGE, "js/main.js")).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    told = [
        subprocess.run([node, tmp_path / main], capture_output=True, text=True, check=True).stdout
        for main in ("js/main.js", "linked/js/main.js")
    ]
    assert told[0] == told[1]
    assert re.findall(r"^\d", told[0], re.MULTILINE) == ["1", "2", "3"]


@pytest.mark.parametrize("name", ["js/main.js", "js/later/gallery/page.js"])
def test_the_map_leads_each_line_back_to_its_source(name: str) -> None:
    files = load_site().files
    lines = files[f"linked/{name}"].data.decode().split("\n")
    found = json.loads(files[f"linked/{name}.map"].data)
    folder = (FRONTEND / "linked" / name).parent
    sources = [(folder / path).resolve().read_text("utf-8").split("\n") for path in found["sources"]]
    pairs = [(lines[n], sources[source][line]) for n, (source, line) in origins(found["mappings"])]
    unchanged = [(now, then) for now, then in pairs if now and "$modules" not in now and "import" not in now]
    assert len(unchanged) > 1000
    moved = [(now, then) for now, then in unchanged if now != then.removeprefix("export ")]
    assert not [then for _, then in moved if "export{" not in then]


def origins(text: str) -> list[tuple[int, tuple[int, int]]]:
    """The mappings read back: each generated line with its source and its line there."""
    numbered = [(n, vlq(segment)) for n, segment in enumerate(text.split(";")) if segment]
    sources = accumulate(steps[1] for _, steps in numbered)
    lines = accumulate(steps[2] for _, steps in numbered)
    return [(n, place) for (n, _), place in zip(numbered, zip(sources, lines, strict=True), strict=True)]


def vlq(segment: str) -> list[int]:
    digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    values, value, shift = [], 0, 0
    for digit in map(digits.index, segment):
        value |= (digit & 31) << shift
        shift += 5
        if digit < 32:
            values.append(-(value >> 1) if value & 1 else value >> 1)
            value = shift = 0
    return values


def test_mappings_are_those_of_the_standard() -> None:
    assert mappings([None, (0, 0), (0, 1), (1, 0), (1, 17)]) == ";AAAA;AACA;ACDA;AAiBA"


def test_a_stylesheet_has_its_parts_in_place_with_their_addresses_right() -> None:
    parts = {
        "style/page.css": '@import "a.css";\n@import "b.css";\n',
        "style/a.css": 'a { background: url("a.svg"); }\n',
        "style/b.css": 'b { background: url("data:image/png,x"); }\n',
    }
    linked = link_styles(parts, "style/page.css")
    assert linked == {
        "linked/style/page.css": (
            'a { background: url("../../style/a.svg"); }\nb { background: url("data:image/png,x"); }\n'
        )
    }


def test_an_import_of_styles_that_is_not_known_is_refused() -> None:
    with pytest.raises(LinkError, match="@import"):
        link_styles({"style/page.css": "@import url(a.css);\n"}, "style/page.css")
