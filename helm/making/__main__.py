"""
Writes what follows from others into the chart; `make chart` calls it, and tests compare.

CRDs and user roles are copied, for helm packs nothing from outside of the chart's folder.
"""

import argparse
import re
from pathlib import Path
from typing import Final

import yaml

from helm.making import readme, schema, values

ROOT: Final = Path(__file__).parents[2]
CHART: Final = ROOT / "helm" / "ordinaut"


def made() -> dict[Path, str]:
    """Return the text of each file that is made, by its path in the chart."""
    keys = values.read((CHART / "values.yaml").read_text(encoding="utf-8"))
    texts = {
        Path("values.schema.json"): schema.render(keys, renamed()),
        Path("README.md"): readme.render((CHART / "README.md").read_text(encoding="utf-8"), keys),
    }
    for folder in ("crds", "rbac"):
        for path in sorted((ROOT / folder).glob("*.yaml")):
            texts[Path("files") / folder / path.name] = path.read_text(encoding="utf-8")
    return texts


def renamed() -> dict[str, str]:
    """Return the keys that the templates answer with what to write instead, as the templates have them."""
    text = (CHART / "templates/_helpers/_deprecations.tpl").read_text(encoding="utf-8")
    table = re.search(r'define "ordinaut.renamed" -}}\n(.*?){{- end }}', text, re.DOTALL)
    if table is None:
        raise ValueError("_deprecations.tpl: there is no table ordinaut.renamed")
    return dict(yaml.safe_load(table[1]))


def main() -> None:
    """Write the files."""
    argparse.ArgumentParser(description=main.__doc__).parse_args()
    for path, text in made().items():
        target = CHART / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
