"""
``python -m e2e`` (``make e2e``): build the image, make a cluster with kind, and live through an installation's life.

Needs Docker, kind, kubectl and helm. What went wrong is shown with the state of the pods and their logs.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from e2e import steps
from e2e.programs import StepFailed, run
from e2e.steps import ROOT, Installation

TAG = "e2e"
NEXT = "e2e-next"
IMAGE = "ordinaut"
IMAGES = (f"{IMAGE}:{TAG}", f"{IMAGE}:{NEXT}")

VALUES = (
    "trial.enabled=true",
    "image.registry=docker.io",
    f"image.repository=library/{IMAGE}",
    "image.pullPolicy=Never",
)

VOLUME = "persistentvolumeclaim/data-ordinaut-trial-postgres-0"


def main() -> int:
    """Run all steps; the exit status is 1 if one has failed."""
    parser = argparse.ArgumentParser(prog="python -m e2e", description=__doc__.splitlines()[1])
    parser.add_argument("--cluster", default="ordinaut-e2e", help="name of the cluster that kind makes")
    parser.add_argument("--python-image", default="", help="base image with its digest; without one any is taken")
    parser.add_argument("--keep", action="store_true", help="leave the cluster as it is at the end")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        kubeconfig = Path(folder) / "kubeconfig"
        it = Installation(kubeconfig)
        try:
            _live(it, cluster=options.cluster, python_image=options.python_image)
        except StepFailed as failure:
            print(f"\nFAILED: {failure}", file=sys.stderr)
            _explain(it)
            return 1
        finally:
            if options.keep:
                print(f"\nThe cluster stays: kind export kubeconfig --name {options.cluster}")
            else:
                _try(lambda: run(["kind", "delete", "cluster", "--name", options.cluster]))
    print("\nAll steps passed.")
    return 0


def _live(it: Installation, *, cluster: str, python_image: str) -> None:
    _step("Build the image", lambda: _build(python_image))
    _step("Make a cluster", lambda: _make_cluster(it, cluster))
    _step("Load the image", lambda: run(["kind", "load", "docker-image", *IMAGES, "--name", cluster]))
    _step("Install with the trial stores", lambda: steps.install(it, *VALUES, f"image.tag={TAG}"))
    _step("Ask for its health", lambda: steps.health(it))
    _step("Run the example", lambda: steps.example(it))
    _step("Upgrade", lambda: steps.install(it, *VALUES, f"image.tag={NEXT}"))
    _step("Run the example again", lambda: steps.example(it))
    _step("Uninstall", lambda: steps.uninstall(it, stays=[VOLUME]))
    _step("Install again over what was kept", lambda: steps.install(it, *VALUES, f"image.tag={TAG}"))
    _step("Uninstall again", lambda: steps.uninstall(it, stays=[VOLUME]))
    _step("Forget the kinds", lambda: steps.forget_definitions(it))


def _step(title: str, take: Callable[[], object]) -> None:
    print(f"\n==> {title}", flush=True)
    began = time.monotonic()
    take()
    print(f"    done in {time.monotonic() - began:.0f} s", flush=True)


def _build(python_image: str) -> None:
    base = f"PYTHON_IMAGE={python_image}" if python_image else "ALLOW_UNPINNED=1"
    run(["docker", "build", "--build-arg", base, "--tag", IMAGES[0], ROOT], timeout=1800)
    # Another name for the same image: what an upgrade does to running pods does not depend on what is in it.
    run(["docker", "tag", *IMAGES])


def _make_cluster(it: Installation, name: str) -> None:
    run(["kind", "delete", "cluster", "--name", name])
    run(["kind", "create", "cluster", "--name", name, "--kubeconfig", it.kubeconfig, "--wait", "3m"])


_EXPLAINS = (
    ("get", "pods,jobs", "--output=wide"),
    ("get", "events", "--sort-by=.lastTimestamp"),
    ("logs", "--selector=app.kubernetes.io/part-of=ordinaut", "--all-containers", "--prefix", "--tail=50"),
)


def _explain(it: Installation) -> None:
    if it.kubeconfig.exists():
        for command in _EXPLAINS:
            _try(lambda: print(it.with_kubectl(*command), file=sys.stderr))  # noqa: B023 - called at once


def _try(take: Callable[[], object]) -> None:
    try:
        take()
    except StepFailed as failure:
        print(f"    {failure}", file=sys.stderr)


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main())
