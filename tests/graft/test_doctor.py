"""`graft doctor` on workspaces that are as they should be, and on ones that are not."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from filelock import FileLock

from graft.commands import doctor
from graft.commands.doctor import environment, services, workspace
from graft.foundation import machine
from graft.foundation.content import sha256_of
from graft.params.sections import Runtime
from graft.provenance import records, seal

REPOSITORY = Path(__file__).resolve().parents[2]
RUNTIME = {
    "device": "cpu",
    "precision": "float32",
    "channels_last": True,
    "compile": False,
    "num_threads": 1,
    "deterministic": True,
}


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A workspace of one commit, the current folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("MLFLOW_TRACKING_URI", "GRAFT_TRACKING", "MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME"):
        monkeypatch.delenv(name, raising=False)
    text = (REPOSITORY / "params.yaml").read_text("utf-8").replace("num_threads: 2", "num_threads: 1")
    Path("params.yaml").write_text(text, encoding="utf-8")
    Path("dvc.yaml").write_text("stages: {}\n", encoding="utf-8")
    Path("requirements.lock").write_bytes((REPOSITORY / "requirements.lock").read_bytes())
    Path(".dvc").mkdir()
    Path(".gitignore").write_text(".locks/\n.dvc/\n", encoding="utf-8")
    for arguments in (
        ["init", "-q"],
        ["add", "-A"],
        ["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "1"],
    ):
        subprocess.run(["git", *arguments], check=True)
    return tmp_path


@pytest.fixture
def refusing() -> Iterator[str]:
    """The address of a server that asks everyone for credentials and takes one token only."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200 if self.headers.get("Authorization") == "Bearer right" else 401)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def one(check) -> doctor.Diagnosis:
    (finding,) = check()
    return finding


def states() -> dict[str, str]:
    return {finding.name: finding.state for finding in doctor.examine()}


def test_nothing_is_wrong_with_a_fresh_clone(here):
    found = states()
    assert "wrong" not in found.values(), [str(finding) for finding in doctor.examine()]
    assert {"Python", "environment", "threads", "device", "disk", "DVC cache", "MLflow", "git"} <= found.keys()


def test_the_command_answers_without_torch_where_no_gpu_is(here):
    if machine.nvidia_driver():
        pytest.skip("there is a GPU here")
    heavy = "{'torch', 'mlflow', 'pandas'} & set(sys.modules)"
    code = f"import sys\nfrom graft.commands import doctor\ndoctor.examine()\nprint({heavy})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_wrong_ends_with_status_2_and_a_remedy(here):
    Path("dvc.lock").write_text("schema: '2.0'\nstages:\n  ingest:\n", encoding="utf-8")
    graft = Path(sys.executable).with_name("graft")
    done = subprocess.run([graft, "doctor"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "wrong    dvc.lock     is cut off or damaged" in done.stdout
    assert "remedy: graft fix, then dvc repro" in done.stdout
    assert "graft: 1 wrong" in done.stderr


def test_another_version_and_an_absent_package_are_named(here):
    with Path("requirements.lock").open("a", encoding="utf-8") as lock:
        lock.write(
            "numpy==1.0.0 \\\n    --hash=sha256:00\nno-such-thing==3.1\nelsewhere==1 ; sys_platform == 'plan9'\n"
        )
    finding = one(environment.lock_file)
    assert finding.state == "wrong"
    assert "(==1.0.0 is locked), no-such-thing is absent" in finding.fact
    assert "elsewhere" not in finding.fact


def test_each_extra_is_named_and_compared_with_its_lock(here):
    assert list(environment.extras()) == []
    Path("requirements").mkdir()
    Path("requirements/none.lock").write_text("no-such-thing==3.1 --hash=sha256:00\n", encoding="utf-8")
    Path("requirements/other.lock").write_text("numpy==1.0.0\nno-such-thing==3.1\n", encoding="utf-8")
    Path("requirements/ours.lock").write_text(f"pytest=={pytest.__version__}\n", encoding="utf-8")
    none, other, ours = environment.extras()
    assert (none.state, none.fact) == ("ok", "none is not installed (make setup EXTRAS=none)")
    assert (other.state, other.remedy) == ("wrong", "make setup EXTRAS=other")
    assert "(==1.0.0 is locked), no-such-thing is absent" in other.fact
    assert (ours.state, ours.fact.startswith("ours is requirements/ours.lock (sha256 ")) == ("ok", True)


def test_more_threads_than_cores_is_a_warning(here):
    text = Path("params.yaml").read_text("utf-8").replace("num_threads: 1", "num_threads: 4096")
    Path("params.yaml").write_text(text, encoding="utf-8")
    assert states()["threads"] == "warning"


def test_a_device_that_is_not_here_is_wrong(here):
    import torch

    if torch.backends.mps.is_available():
        pytest.skip("there is one here")
    text = Path("params.yaml").read_text("utf-8").replace("device: cpu", "device: mps")
    Path("params.yaml").write_text(text, encoding="utf-8")
    finding = next(finding for finding in environment.device() if finding.name == "device")
    assert finding.state == "wrong"
    assert "this machine has no mps" in finding.fact


def test_params_that_cannot_be_read_are_said(here):
    Path("params.yaml").write_text("runtime: {device: abacus}\n", encoding="utf-8")
    assert one(environment.device).remedy == "graft check"


def test_a_server_that_does_not_answer(here, monkeypatch):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://someone:secret@127.0.0.1:{port}")
    finding = one(services.mlflow)
    assert finding.state == "wrong"
    assert "does not answer" in finding.fact
    assert "secret" not in str(finding)


def test_credentials_that_a_server_refuses(here, refusing, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", refusing)
    finding = one(services.mlflow)
    assert finding.state == "wrong"
    assert "answers 401" in finding.fact
    assert "MLFLOW_TRACKING_TOKEN" in finding.remedy
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "right")
    assert one(services.mlflow).state == "ok"


def test_a_remote_is_looked_for(here):
    Path(".dvc/config").write_text(
        "[core]\n    remote = team\n['remote \"team\"']\n    url = ../shared\n", encoding="utf-8"
    )
    Path("shared").mkdir()
    assert {finding.name: finding.state for finding in services.dvc()}["DVC remote"] == "ok"
    Path(".dvc/config").write_text(
        "[core]\n    remote = team\n['remote \"team\"']\n    url = /no/such/place\n", "utf-8"
    )
    assert {finding.name: finding.state for finding in services.dvc()}["DVC remote"] == "wrong"


def test_a_configuration_of_dvc_that_cannot_be_read_is_said(here):
    Path(".dvc/config").write_text("remote = team\n", encoding="utf-8")
    finding = one(services.dvc)
    assert (finding.state, finding.remedy) == ("wrong", "correct .dvc/config")
    Path(".dvc/config").write_text("[core]\n    remote = team\n['remote \"team\"']\n    jobs = 2\n", encoding="utf-8")
    assert "has no address" in list(services.dvc())[-1].fact


def test_changed_code_is_a_warning(here):
    Path("pipeline").mkdir()
    Path("pipeline/mine.py").write_text("print()\n", encoding="utf-8")
    finding = one(workspace.git)
    assert finding.state == "warning"
    assert "whose code no commit holds" in finding.remedy


def test_what_runs_left_behind(here):
    Path(".resume/0123456789abcdef0123").mkdir(parents=True)
    Path("data/.tmp-augment-augmented").mkdir(parents=True)
    Path(".locks").mkdir()
    assert {finding.name for finding in workspace.leftovers()} == {"training", "half-written"}
    with FileLock(".locks/augment.lock"):
        found = {finding.name: finding.fact for finding in workspace.leftovers()}
    assert found["running"] == "under way in this workspace: augment"
    assert "half-written" not in found


def test_records_say_what_computed_and_none_where_nothing_did(here):
    facts = seal.describe_environment(Runtime.model_validate(RUNTIME))
    assert {"lock", "extra_locks", "python", "system", "device", "driver", "num_threads"} == facts.keys()
    assert (facts["device"], facts["driver"], facts["num_threads"]) == ("cpu", None, 1)
    assert seal.describe_environment(None).keys() == facts.keys()
    assert seal.describe_environment(None)["device"] is None


def test_a_record_names_the_lock_of_an_extra_only_where_a_stage_used_it(here):
    Path("requirements").mkdir()
    Path("requirements/team.lock").write_text("team-weights==1.2\n", encoding="utf-8")
    locks = {"requirements/team.lock": sha256_of(Path("requirements/team.lock"))}
    assert seal.describe_environment(None)["extra_locks"] is None
    assert seal.describe_environment(None, "numpy")["extra_locks"] is None
    assert seal.describe_environment(None, "team_weights")["extra_locks"] == locks
    stage = seal.DeclaredStage("pretrain-load", (), (), (), ())
    params = {"pretrain_load": {"source": {"name": "package", "package": "team-weights"}}}
    kept = seal.seal(stage, params, None).record({}, {})
    assert kept.locks == {"requirements.lock": sha256_of(Path("requirements.lock")), **locks}
    assert "extra_locks" in kept.environment


def test_what_is_none_is_no_part_of_a_fingerprint():
    with_none = records.fingerprint("ingest", {}, {}, {}, {"python": "3.12.1", "driver": None})
    assert with_none == records.fingerprint("ingest", {}, {}, {}, {"python": "3.12.1"})
    assert with_none != records.fingerprint("ingest", {}, {}, {}, {"python": "3.12.1", "driver": "580.95.05"})
