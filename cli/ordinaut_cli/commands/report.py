"""``ordinaut report``: a support bundle without secrets."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

import ordinaut
from ordinaut_cli import times
from ordinaut_cli.commands.run import parse_time
from ordinaut_cli.commands.status import in_cluster
from ordinaut_cli.errors import WRONG_INPUT, CommandError
from ordinaut_cli.options import ClusterNamespace, KubeConfig, KubectlContext

if TYPE_CHECKING:
    from ordinaut_cli.cluster.apiserver import ApiServer
    from ordinaut_cli.cluster.installation import Found

WARNING: Final = (
    "warning: --stop-redaction: the bundle will hold what people wrote into their tasks, variables and logs, secrets"
    " among it; give it to nobody whom you would not give those"
)


def report(
    file: Annotated[
        Path | None, typer.Option("--file", "-f", metavar="FILE", help="Where to write the bundle; must not exist.")
    ] = None,
    logs: Annotated[bool, typer.Option("--logs", help="With the logs of the processes.")] = False,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="Logs of this last time only, such as 1h.")] = None,
    namespace_only: Annotated[
        bool, typer.Option("--namespace-only", help="Nothing from outside the installation's namespace.")
    ] = False,
    stop_redaction: Annotated[
        bool, typer.Option("--stop-redaction", help="Leave everything as it is; Secrets are not read all the same.")
    ] = False,
    namespace: ClusterNamespace = None,
    context: KubectlContext = None,
    kubeconfig: KubeConfig = None,
) -> None:
    """Write a support bundle (ZIP): status, objects, events, metrics, and with --logs the logs.

    Needs a kubeconfig only; what your rights do not let you see is left out and told in skipped.txt. Values that people
    chose (params, inputs, headers, variables, annotations) and what looks like a secret are left out, and Secrets are
    never read.
    """
    seconds = None if since is None else parse_time(since, option="--since")
    if seconds is not None and not logs:
        raise CommandError("--since: only with --logs", exit_code=WRONG_INPUT)
    if file is not None and file.exists():
        raise CommandError(f"--file: {file}: it is there already; name another file", exit_code=WRONG_INPUT)
    if stop_redaction:
        print(WARNING, file=sys.stderr, flush=True)
    from ordinaut_cli.cluster.report import Wish, make  # noqa: PLC0415 - slow to load

    wish = Wish(
        ordinaut.__version__, logs=logs, since=seconds, namespace_only=namespace_only, redact=not stop_redaction
    )

    async def work(api: "ApiServer", found: "list[Found]") -> tuple[Path, int, int]:
        if len(found) > 1:
            spaces = ", ".join(one.namespace for one in found)
            raise CommandError(f"several installations are there; name one with -n: {spaces}", exit_code=WRONG_INPUT)
        name = f"ordinaut-report-{found[0].namespace}-{times.now():%Y%m%dT%H%M%SZ}"
        bundle, skipped = await make(api, found[0], wish, folder=name)
        place = file or Path(f"{name}.zip")
        try:
            bundle.write(place)
        except OSError as error:
            raise CommandError(f"--file: {place}: cannot write it: {error.strerror}") from None
        return place, len(bundle.paths), len(skipped)

    place, files, skipped = in_cluster(work, namespace=namespace, context=context, kubeconfig=kubeconfig)
    print(f"{place}: {files} files" + (f"; {skipped} things could not be seen, see skipped.txt" if skipped else ""))
