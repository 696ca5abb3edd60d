"""The commands that list and check: cache, models, accelerators, schema."""

import argparse
import sys
from typing import Any

from energysim.commands.options import Parser, new_command


def add_catalogue_commands(commands: Any) -> None:
    """Add `cache`, `models`, `accelerators` and `schema` to a parser's commands."""
    command = new_command(
        commands,
        "cache",
        cache_command,
        "where search results are kept, how many and how large; remove them",
        "energysim cache\n  energysim cache clear",
    )
    inner = command.add_subparsers(metavar="command", parser_class=Parser)
    new_command(inner, "clear", clear_command, "remove all search results that are kept", "energysim cache clear")

    example = "energysim models"
    new_command(commands, "models", models_command, "the networks that ship with energysim", example)

    command = new_command(
        commands,
        "accelerators",
        accelerators_command,
        "the accelerators that ship with energysim; whether a file describes one soundly",
        "energysim accelerators check my_chip.yaml",
    )
    inner = command.add_subparsers(metavar="command", parser_class=Parser)
    check = new_command(
        inner,
        "check",
        check_command,
        "say whether an accelerator file is sound, and print its hierarchy",
        "energysim accelerators check my_chip.yaml",
    )
    check.add_argument("accelerator", metavar="FILE", help="an accelerator file, or a packaged name")

    command = new_command(
        commands,
        "schema",
        schema_command,
        "a JSON Schema for editors, that completes and checks our YAML",
        "energysim schema accelerator > accelerator.schema.json",
    )
    kinds = ("accelerator", "constraints", "recipe")
    command.add_argument("kind", metavar="KIND", choices=kinds, help=", ".join(kinds))


def cache_command(options: argparse.Namespace) -> None:
    """Say where search results are kept, how many, how large."""
    from energysim.mapping.search_cache import SearchCache
    from energysim.report.text import clean

    cache = SearchCache()
    entries, size = cache.size()
    print(f"{clean(str(cache.folder))}: {entries:,} entries, {size:,} bytes")


def clear_command(options: argparse.Namespace) -> None:
    """Remove all search results that are kept."""
    from energysim.mapping.search_cache import SearchCache
    from energysim.report.text import clean

    cache = SearchCache()
    files, size = cache.clear()
    print(f"{clean(str(cache.folder))}: {files:,} files removed, {size:,} bytes")


def models_command(options: argparse.Namespace) -> None:
    """List the packaged networks."""
    from energysim.packaged import packaged
    from energysim.report.catalogue import models_table
    from energysim.report.show import show
    from energysim.workload.read import read_model

    show([models_table([read_model(name) for name in packaged("models")])], sys.stdout)


def accelerators_command(options: argparse.Namespace) -> None:
    """List the packaged accelerators."""
    from energysim.hardware.read import read_accelerator
    from energysim.packaged import packaged
    from energysim.report.catalogue import accelerators_table
    from energysim.report.show import show

    show([accelerators_table([read_accelerator(name) for name in packaged("hw_configs")])], sys.stdout)


def check_command(options: argparse.Namespace) -> None:
    """Check an accelerator file; its mistakes are the error."""
    from energysim.hardware.read import read_accelerator
    from energysim.report.catalogue import hierarchy_table
    from energysim.report.show import show
    from energysim.report.text import clean

    described = read_accelerator(options.accelerator)
    show([hierarchy_table(described)], sys.stdout)
    print(f"{clean(options.accelerator)}: sound; weakest price: {described.weakest_tier}")


def schema_command(options: argparse.Namespace) -> None:
    """Print a JSON Schema."""
    import json

    from energysim.clustering.recipe_read import recipe_schema
    from energysim.hardware.fields import accelerator_schema
    from energysim.mapping.constraints_yaml import constraints_schema

    schemas = {"accelerator": accelerator_schema, "constraints": constraints_schema, "recipe": recipe_schema}
    print(json.dumps(schemas[options.kind](), indent=2))
