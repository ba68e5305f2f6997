"""
Makes the ClusterRoles from the roles, so that Kubernetes and the access file grant the same.

``make rbac`` runs ``python -m ordinaut.access.clusterroles --write rbac``; a test fails when the files differ from what
`render` gives. A ClusterRole serves the API (whose guards ask for these rights) and kubectl alike: tasks,
pipelines, tools and hooks are real resources under the same names. ``status`` is the operator's alone and in none of
them.
"""

import argparse
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from ordinaut.access.rights import DECLARED, ROLES, Right, Role
from ordinaut.resources.manifest import GROUP

_VERBS: Final = ("get", "list", "watch", "create", "update", "patch", "delete")
_AGGREGATED: Final[Mapping[Role, str]] = {
    Role.VIEWER: "view",
    Role.EDITOR: "edit",
    # Not edit: whoever may change a task, an agent among them, would then approve what it does.
    Role.APPROVER: "admin",
    Role.ADMIN: "admin",
}
"""The role of Kubernetes that each is part of, so that whoever has that in a namespace has ours too."""


def render() -> dict[str, str]:
    """Return the text of each file under ``rbac/``, by file name."""
    return {f"{role}.yaml": _to_yaml(cluster_role(role)) for role in Role}


def cluster_role(role: Role) -> dict[str, Any]:
    """Return the ClusterRole of a role."""
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {
            "name": f"ordinaut-{role}",
            "labels": {
                "app.kubernetes.io/name": "ordinaut",
                f"rbac.authorization.k8s.io/aggregate-to-{_AGGREGATED[role]}": "true",
            },
        },
        "rules": list(_rules(ROLES[role])),
    }


def _rules(rights: Iterable[Right]) -> Iterable[dict[str, Any]]:
    """Yield one rule for each set of verbs, with all resources that have it."""
    verbs: dict[str, set[str]] = {}
    for right in rights:
        verbs.setdefault(right.resource, set()).add(right.verb)
    for resource in DECLARED:
        if "list" in verbs.get(resource, ()):
            verbs[resource].add("watch")  # `kubectl get --watch`; the API has no such verb
    groups: dict[tuple[str, ...], list[str]] = {}
    for resource in sorted(verbs):
        groups.setdefault(tuple(sorted(verbs[resource], key=_VERBS.index)), []).append(resource)
    for allowed, resources in groups.items():
        yield {"apiGroups": [GROUP], "resources": resources, "verbs": list(allowed)}


def _to_yaml(document: dict[str, Any]) -> str:
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)
    return f"# Made by `make rbac` from ordinaut/access/rights.py. Do not edit.\n{text}"


def main() -> None:
    """Write the files into a folder."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--write", metavar="FOLDER", type=Path, required=True)
    folder: Path = parser.parse_args().write
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in render().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
