"""Dictionaries of any form as another library's: `python -m dagster_project.convert SOURCE OUT`.

SOURCE is a folder, a zip file or a hub id, as in a study. What is written below OUT encodes and
decodes as what was read does: a gate becomes a JumpReLU, whose threshold says the same. What has no
exact form there is refused. Cost: one dictionary in memory at a time.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dagster_project.interp.dictionary import SparseDictionary
    from dagster_project.interp.dictionary_files import Place

FORMS = ("saelens", "dictionary_learning")


def main(arguments: Sequence[str] | None = None) -> int:
    """Convert, and print where each dictionary is; the exit status."""
    from dagster_project.interp.dictionary_files import Place, load_site
    from dagster_project.interp.file_tree import open_tree

    options = _parser().parse_args(arguments)
    try:
        source = Path(options.source).expanduser()
        place = Place(open_tree(source, options.source, options.revision), options.path)
        for site in options.site:
            found = load_site(place, site, None)
            where = write(found, place, site, options.to, Path(options.out))
            sys.stdout.write(f"{site}: {found.activation}, {found.n_features} features: {where}\n")
    except (ValueError, OSError) as error:  # a DictionaryError, or a site of no known kind
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def write(found: SparseDictionary, place: Place, site: str, form: str, out: Path) -> Path:
    """Write a dictionary below out; -> its folder. Raises DictionaryError where what is written
    would be another dictionary."""
    import torch

    from dagster_project.interp.dictionary_checks import DictionaryError
    from dagster_project.interp.dictionary_learning_files import save_dictionary_learning
    from dagster_project.interp.foreign_names import folder_name
    from dagster_project.interp.saelens_files import save_saelens

    if found.threshold is not None and (torch.as_tensor(found.threshold) < 0).any():
        expected = f"thresholds from 0 on: of {form}'s JumpReLU no feature is negative"
        raise DictionaryError(place.tree.label, expected, f"some below in the dictionary of {site}")
    if form == "saelens":
        return save_saelens(found, site, out)
    if (folder := folder_name(site)) is None:
        expected = "a site that dictionary_learning has a name for"
        raise DictionaryError(place.tree.label, expected, site)
    return save_dictionary_learning(found, out / folder)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m dagster_project.convert",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", help="folder, zip file or hub id of dictionaries")
    parser.add_argument("out", help="folder that they are written below")
    parser.add_argument("--to", required=True, choices=FORMS, help="form")
    parser.add_argument("--site", required=True, nargs="+", help="sites: embed, resid_0, …")
    parser.add_argument("--path", default="", help="pattern of a site's folder, as in a study")
    parser.add_argument("--revision", default="", help="commit of a hub repository")
    return parser


if __name__ == "__main__":
    sys.exit(main())
