"""``ordinaut dev``: what it survives, what it refuses, and that it leaves nothing behind."""

import re
import signal
import socket
import subprocess
from pathlib import Path

import psutil
import pytest

from tests.acceptance.session import ORDINAUT, PROMPT, dev
from tests.cluster.processes import free_port
from tests.running import until

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("dev")]

HELLO = """\
apiVersion: ordinaut.io/v1alpha1
kind: Task
metadata:
  name: hello
spec:
  pipeline:
    steps:
    - {id: greet, uses: std.log, with: {message: "hello ${params.who}"}}
  params: {who: world}
"""


@pytest.fixture
def manifests(place: Path) -> Path:
    folder = place / "manifests"
    folder.mkdir()
    (folder / "hello.yaml").write_text(HELLO, encoding="utf-8")
    return folder


def command(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([ORDINAUT, *arguments], cwd=cwd, capture_output=True, text=True, check=False, timeout=60)


def gone(processes: list[psutil.Process]) -> bool:
    return not psutil.wait_procs(processes, timeout=5)[1]


def test_a_lost_worker_is_replaced_and_an_interrupt_ends_everything_in_order(manifests: Path, place: Path) -> None:
    with dev(manifests, "--workers", "1", "-v", cwd=place) as running:
        running.until_says(PROMPT)
        running.child("ordinaut_worker").kill()
        running.until_says("! worker-1 was ended by SIGKILL; starting it again in 0.5 s")
        made = command("run", "hello", "--wait", "--api", running.url.partition("/v1")[0], cwd=place)
        assert (made.returncode, made.stderr) == (0, "")
        assert made.stdout.splitlines()[-1].endswith(" Succeeded")
        running.until_says("✓ greet")
        assert "worker-1      | " in running.text

        (manifests / "hello.yaml").write_text(HELLO.replace("hello", "bonjour"), encoding="utf-8")
        until(lambda: running.get("tasks/bonjour").is_success, what="the new name of the task")
        until(lambda: running.get("tasks/hello").status_code == 404, what="the old name to be gone")

        processes = running.descendants()
        assert len(processes) >= 4
        running.process.send_signal(signal.SIGINT)
        assert running.end() == 0, running.text
        assert gone(processes)
        assert "Traceback" not in running.text


def test_what_a_killed_session_leaves_ends_by_itself_and_the_next_one_goes_on(manifests: Path, place: Path) -> None:
    with dev(manifests, cwd=place) as killed:
        killed.until_says(PROMPT)
        run = command("run", "hello", "--wait", "--api", killed.url.partition("/v1")[0], cwd=place).stdout.split()[1]
        ours = [one for one in killed.descendants() if "ordinaut_" in " ".join(one.cmdline())]
        assert len(ours) == 4
        valkey = killed.child("valkey-server")
        killed.process.kill()
        assert killed.end() == -signal.SIGKILL
        until(lambda: gone(ours), what="the end of the processes of the killed session")
    with dev(manifests, "--once", "hello", cwd=place) as second:
        assert second.end() == 0, second.text
        assert second.lines[-1].endswith(" Succeeded")
        assert gone([valkey])
    with dev(manifests, cwd=place) as third:
        third.until_says(PROMPT)
        assert third.get(f"runs/{run}").json()["status"]["phase"] == "Succeeded"


def test_a_process_that_can_not_start_ends_the_session_with_its_last_words(manifests: Path, place: Path) -> None:
    with dev(manifests, cwd=place, ORDINAUT_WORKER_SLOTS="0") as broken:
        assert broken.end() == 1, broken.text
        assert re.search("^worker-[12] ended 3 times right after its start:$", broken.text, re.MULTILINE)
        assert "ORDINAUT_WORKER_SLOTS" in broken.lines[-1]
        assert "Traceback" not in broken.text


def test_a_task_that_can_not_run_is_told_with_the_reason(manifests: Path, place: Path) -> None:
    (manifests / "hello.yaml").write_text(HELLO.replace("std.log", "missing"), encoding="utf-8")
    with dev(manifests, "--once", "hello", cwd=place) as lacking:
        assert lacking.end() == 1, lacking.text
        assert "task hello cannot run: ToolNotFound" in lacking.lines[-1]


def test_one_folder_serves_one_session(manifests: Path, place: Path) -> None:
    with dev(manifests, cwd=place) as first:
        lock = place / ".ordinaut" / "lock"
        until(lambda: lock.exists() and lock.read_text(), what="the owner in the lock")
        second = command("dev", manifests, "--port", str(free_port()), cwd=place)
        assert second.returncode == 1
        assert f"process {first.process.pid}" in second.stderr
        assert "--data" in second.stderr


def test_wrong_options_are_refused_before_anything_starts(manifests: Path, place: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        for arguments, words in (
            (["--port", port], f"--port: {port}: something listens there already"),
            (["--run", "a", "--once", "b"], "--run and --once exclude each other"),
            (["--data", str(manifests / "hello.yaml")], "--data: "),
        ):
            refused = command("dev", manifests, *arguments, cwd=place)
            assert (refused.returncode, refused.stdout) == (2, "")
            assert words in refused.stderr
            assert len(refused.stderr.splitlines()) == 1
    assert command("dev", place / "nowhere", cwd=place).returncode == 2
    assert not (place / ".ordinaut" / "postgres").exists()
