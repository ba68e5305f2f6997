"""
Renders the chart with real helms, for the tests of the chart: each rendering is made once in a session.

The fixtures in `conftest` hand a `Helm` of each major to the tests. Objects come back as dictionaries; what the chart
refuses raises `Refused` with helm's words. Nothing of the developer's own helm (repositories, plugins, kubeconfig) is
used.
"""

import functools
import hashlib
import json
import os
import pickle
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm" / "ordinaut"
CI = {path.name.removesuffix("-values.yaml"): path for path in sorted((CHART / "ci").glob("*-values.yaml"))}
"""The values files of the chart by their short names."""

MAJORS = ("helm3", "helm4")

FOREIGN = (
    "cilium.io/v2/CiliumNetworkPolicy",
    "gateway.networking.k8s.io/v1/HTTPRoute",
    "grafana.integreatly.org/v1beta1/GrafanaDashboard",
    "keda.sh/v1alpha1/ScaledObject",
    "keda.sh/v1alpha1/TriggerAuthentication",
    "monitoring.coreos.com/v1/PodMonitor",
    "monitoring.coreos.com/v1/PrometheusRule",
    "monitoring.coreos.com/v1/ServiceMonitor",
    "postgresql.cnpg.io/v1/Cluster",
)
"""What a cluster with everything that the chart knows to use answers; nothing of it is there by itself."""

RELEASE = "ordinaut"
NAMESPACE = "ordinaut-system"

Object = dict[str, Any]

# Those in C are ten times faster, and not in every build of PyYAML.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class Refused(Exception):
    """Helm did not render; the message is what a user sees."""


class Helm:
    """One major version of helm, apart from all settings of whoever runs the tests."""

    def __init__(self, program: Path, *, home: Path) -> None:
        self._program = program
        self._home = home
        self._home.mkdir(parents=True, exist_ok=True)
        self._texts = functools.cache(self._template)
        # Reading the CRDs' YAML takes longer than rendering it, and copying them as long.
        self._parsed = functools.cache(lambda values, **options: pickle.dumps(load(self._texts(values, **options))))

    def text(self, values: Path | dict[str, Any] | str | None = None, **options: Any) -> str:
        """Return the rendered manifests; `values` are a file, a dictionary, or the name of a file in `ci/`."""
        return self._texts(self._file(values), **options)

    def objects(self, values: Path | dict[str, Any] | str | None = None, **options: Any) -> list[Object]:
        """Return the rendered objects, fresh ones each time, so that a test may change them."""
        return cast("list[Object]", pickle.loads(self._parsed(self._file(values), **options)))

    def notes(self, values: Path | dict[str, Any] | str | None = None, *, chart: Path = CHART) -> str:
        """Return what helm prints after an installation."""
        arguments = ["install", RELEASE, str(chart), "--namespace", NAMESPACE, "--dry-run=client"]
        return self.run(*arguments, *_files(self._file(values))).partition("\nNOTES:\n")[2]

    def lint(self, values: Path | dict[str, Any] | str | None = None, *, chart: Path = CHART) -> str:
        """Check the chart as strictly as helm can; returns what it says."""
        return self.run("lint", "--strict", str(chart), *_files(self._file(values)))

    def run(self, *arguments: str) -> str:
        """Run helm; returns what it prints, raises `Refused` with its words if it fails."""
        own = {
            name: str(self._home / name.lower()) for name in ("HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME")
        }
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("HELM_", "KUBE"))}
        done = subprocess.run(
            [self._program, *arguments],
            # A process as short as this needs no collection of garbage: a quarter of its time.
            env=environment | own | {"KUBECONFIG": os.devnull, "GOGC": "off"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if done.returncode:
            raise Refused(done.stderr + done.stdout)
        return done.stdout

    def _template(
        self,
        values: Path | None = None,
        *,
        chart: Path = CHART,
        release: str = RELEASE,
        namespace: str = NAMESPACE,
        foreign: tuple[str, ...] = FOREIGN,
        kubernetes: str = "1.33.0",
        upgrade: bool = False,
        again: int = 0,  # noqa: ARG002 - distinguishes a second rendering from the cached first
    ) -> str:
        arguments = ["template", release, str(chart), "--namespace", namespace, "--kube-version", kubernetes]
        arguments += [f"--api-versions={one}" for one in foreign]
        arguments += ["--is-upgrade"] if upgrade else []
        return self.run(*arguments, *_files(values))

    def _file(self, values: Path | dict[str, Any] | str | None) -> Path | None:
        """Return the file with the values; dictionaries get one named by what they hold, so that the cache finds it."""
        if isinstance(values, str):
            return CI[values]
        if not isinstance(values, dict):
            return values
        text = json.dumps(values, sort_keys=True)
        path = self._home / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.yaml"
        path.write_text(text)
        return path


def load(text: str) -> list[Object]:
    """Return the objects of rendered manifests."""
    return [document for document in yaml.load_all(text, Loader=_LOADER) if document]


def pick(objects: list[Object], kind: str, name: str | None = None) -> Object:
    """Return the one object of a kind, or of a kind and a name."""
    found = [one for one in objects if one["kind"] == kind and name in {None, one["metadata"]["name"]}]
    names = [f"{one['kind']}/{one['metadata']['name']}" for one in objects]
    assert len(found) == 1, f"{len(found)} of {kind}/{name or '*'} in {names}"
    return found[0]


def kinds(objects: list[Object]) -> set[str]:
    """Return which kinds there are."""
    return {one["kind"] for one in objects}


def pod_templates(objects: list[Object]) -> Iterator[tuple[str, Object]]:
    """Yield the name and the template of everything that makes pods, bare pods too."""
    for one in objects:
        name = f"{one['kind']}/{one['metadata']['name']}"
        if one["kind"] == "Pod":
            yield name, one
        elif one["kind"] in {"Deployment", "StatefulSet", "Job"}:
            yield name, one["spec"]["template"]


def component_of_pod(template: Object) -> str:
    """Return the component that a pod belongs to."""
    return str(template["metadata"]["labels"]["app.kubernetes.io/component"])


def containers(template: Object) -> Iterator[Object]:
    """Yield all containers of a pod, those that run first too."""
    spec = template["spec"]
    yield from spec.get("initContainers", [])
    yield from spec["containers"]


def _files(values: Path | None) -> list[str]:
    return ["--values", str(values)] if values else []


def explained(error: Refused) -> str:
    """Return helm's message without the trail of templates in front of it."""
    return re.sub(r"(?s)^.*?(error calling fail: |values don't meet the specifications)", r"\1", str(error))
