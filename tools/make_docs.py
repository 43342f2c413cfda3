"""Write the docs that follow from the code: docs/recipes.md, docs/commands.md and docs/datasets.md.

Run: python tools/make_docs.py   A test holds that what is committed is what this writes.
"""

from __future__ import annotations

from pathlib import Path

import typer.main
from typer.testing import CliRunner

from pneumoscope.app.cli import app
from pneumoscope.core.recipe import Recipe, method_leaves, source_of
from pneumoscope.core.resolve import with_variant
from pneumoscope.io.layouts import layouts
from pneumoscope.io.layouts.layout import Layout
from pneumoscope.recipes import recipes

DOCS = Path(__file__).resolve().parents[1] / "docs"
NOTE = "<!-- Written by tools/make_docs.py; change the code, not this file. -->"


def recipes_page() -> str:
    """Every recipe: field, value, and where the paper says so."""
    parts = [
        NOTE,
        "# Recipes",
        "What `pneumoscope recipes show NAME` prints. *assumed* marks what the paper leaves open.",
    ]
    parts += [_recipe(recipes().resolve(name)) for name in recipes()]
    return "\n\n".join(parts) + "\n"


def _recipe(recipe: Recipe) -> str:
    paper = recipe.paper
    rows = [
        f"| `{path}` | {_cell(value)} | {_cell(source_of(recipe, path))} |" for path, value in method_leaves(recipe)
    ]
    variants = [row for name in recipe.variants for row in _variant(recipe, name)]
    return "\n".join(
        [
            f"## {recipe.name}",
            "",
            f"{paper.authors} ({paper.year}). *{paper.title}.* {paper.where}.",
            "",
            *[f"- {text}" for text in recipe.deviations],
            "",
            "| field | value | where the paper says so |",
            "| --- | --- | --- |",
            *rows,
            "",
            "| variant | field | value | where the paper says so |",
            "| --- | --- | --- | --- |",
            *variants,
        ]
    )


def _variant(recipe: Recipe, name: str) -> list[str]:
    """The rows of what a variant sets, or has another source for."""
    changed = with_variant(recipe, name)
    return [
        f"| `{recipe.name}:{name}` | `{path}` | {_cell(value)} | {_cell(source_of(changed, path))} |"
        for path, value in method_leaves(changed)
        if path in recipe.variants[name] or source_of(changed, path) != source_of(recipe, path)
    ]


def _cell(value: object) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return (text or "none").replace("|", "\\|")


def commands_page() -> str:
    """The help of every command."""
    parts = [
        NOTE,
        "# Commands",
        "Exit codes: 0 done, 2 wrong usage, 3 unusable input, 4 failed integrity, 5 a missing extra or weights.",
    ]
    parts += [f"## {' '.join(words)}\n\n```\n{_help(words[1:])}\n```" for words in _commands()]
    return "\n\n".join(parts) + "\n"


def _commands() -> list[tuple[str, ...]]:
    top = typer.main.get_command(app)
    found: list[tuple[str, ...]] = []
    for name, command in sorted(getattr(top, "commands", {}).items()):
        inner = getattr(command, "commands", None)
        found += [("pneumoscope", name, n) for n in sorted(inner)] if inner else [("pneumoscope", name)]
    return found


def _help(words: tuple[str, ...]) -> str:
    result = CliRunner().invoke(app, [*words, "--help"], prog_name="pneumoscope", terminal_width=100, color=False)
    return "\n".join(line.rstrip() for line in result.output.strip().splitlines())


def datasets_page() -> str:
    """Every public dataset: what it is, how to get it, and what to know before it is used."""
    known = [layouts().resolve(name) for name in sorted(layouts())]
    rows = [
        f"| [`{s.name}`](#{s.name}) | {_cell(s.title)} | {sum(s.expected.values()) or '?'} | {_cell(s.licence)} "
        f"| {'yes' if s.remote else 'no'} |"
        for s in known
    ]
    parts = [
        NOTE,
        "# Datasets",
        "The public sets that `pneumoscope data import NAME DIR --out OUT` reads as their owners give them out.",
        "\n".join(["| name | what it is | images | licence | fetch |", "| --- | --- | --- | --- | --- |", *rows]),
    ]
    return "\n\n".join([*parts, *map(_dataset, known)]) + "\n"


def _dataset(found: Layout) -> str:
    counts = ", ".join(f"{count} {label}" for label, count in found.expected.items()) or "not stated"
    return "\n".join(
        [
            f"## {found.name}",
            "",
            f"{found.citation}",
            "",
            f"- **Home:** <{found.home}>",
            f"- **Licence:** {found.licence}",
            f"- **How to get it:** {found.obtain}",
            f"- **`pneumoscope data fetch {found.name}`:** {_fetched(found)}",
            f"- **Images:** {counts} ({found.release})",
            f"- **Patients:** {found.patients}",
            *(["", "Known traps:", "", *(f"- {trap}" for trap in found.traps)] if found.traps else []),
        ]
    )


def _fetched(found: Layout) -> str:
    """What `data fetch` gets, and whether the publisher states its digest."""
    files = [
        f"`{file.name}` (<{file.url}>), "
        + (
            "checked by its published SHA-256"
            if file.sha256
            else "its SHA-256 is not published: you vouch for it with `--sha256`"
        )
        for file in found.remote
    ]
    return "; ".join(files) or "no; get it as said above"


def main() -> None:
    """Write the pages."""
    (DOCS / "recipes.md").write_text(recipes_page(), encoding="utf-8")
    (DOCS / "commands.md").write_text(commands_page(), encoding="utf-8")
    (DOCS / "datasets.md").write_text(datasets_page(), encoding="utf-8")


if __name__ == "__main__":
    main()
