"""`ddpm try` and `ddpm study` in a real clone with git, DVC and MLflow: killed, continued, kept, queued, dropped."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from ddpm.common import files, yaml_file
from ddpm.config import changes
from tests.support import forked
from tests.support.clones import clone, environment
from tests.support.fault_pipeline import SMALL
from tests.support.repositories import DDPM

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
WAIT = 600
CHAMPION = """
import json
from pathlib import Path
from ddpm import registry, tracking
from ddpm.common import files
from ddpm.config import params
from ddpm.registry.versions import VERIFIED_TAG

metrics = files.read_json(Path("out/evaluate/metrics.json"))
run_id = tracking.record_outputs(params.load(), metrics)
assert registry.register(Path("out/train/model"), "ddpm-faults", run_id, metrics) == 1
registry.annotate("ddpm-faults", 1, {VERIFIED_TAG: json.dumps({})})
registry.promote("ddpm-faults", 1, why="first", expected_champion=None)
"""
TAGS = """
import json, sys
from ddpm import tracking
run = tracking.client().search_runs(["1"], "tags.`ddpm.trial` != ''")
print(json.dumps({each.data.tags["ddpm.trial"]: each.data.tags["mlflow.note.content"] for each in run}))
"""
STATUS = """
import json
from ddpm import registry
found = registry.status("ddpm-faults")
print(json.dumps({"aliases": dict(found.aliases), "versions": len(found.versions)}))
"""


class Project:
    """A clone whose champion is the model of its parameters."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        who = {
            f"GIT_{role}_{key}": "reader@example.org" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")
        }
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        more = {"PATH": path, "COLUMNS": "80", "GIT_CONFIG_GLOBAL": "/dev/null", "DDPM_PROGRESS_SECONDS": "1"}
        self.environment = forked.stages(environment(folder) | who | more)

    def run(self, *command: str, status: int = 0) -> str:
        done = forked.run(command, cwd=self.folder, env=self.environment)
        words = done.stdout + done.stderr
        assert done.returncode == status, words
        assert "Traceback" not in words, words
        return words

    def ddpm(self, *arguments: str, status: int = 0) -> str:
        return self.run("ddpm", *arguments, status=status)

    def python(self, code: str) -> str:
        return self.run(sys.executable, "-c", code)

    def trials(self) -> dict[str, dict[str, object]]:
        return {each["name"]: each for each in json.loads(self.ddpm("try", "--list", "--json"))["trials"]}

    def tree(self) -> dict[str, str]:
        """What a try must not touch: tracked files, git's status, the registered model."""
        status = self.run("git", "status", "--porcelain")
        params = (self.folder / "params.yaml").read_text()
        return {"git": status, "params": params, "registry": self.python(STATUS)}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
        folder = clone(tmp_path_factory.mktemp("try") / "clone")
    small = {f"{section}.{key}": value for section, keys in SMALL.items() for key, value in keys.items()}
    path = folder / "params.yaml"
    path.write_text(changes.in_text(path.read_text(), small | {"train.images": 800, "sample.count": 300,
                                                               "evaluate.blocks": 6}))  # fmt: skip
    made = Project(folder)
    made.run("dvc", "pull", "-q", "data.dvc")
    made.run("dvc", "repro", "-q", "evaluate")
    made.python(CHAMPION)
    return made


def wait_for_checkpoint(folder: Path, before: set[Path], process: "subprocess.Popen[bytes]") -> None:
    """Wait until a training that was not there `before` has a checkpoint."""
    end = time.monotonic() + WAIT
    while time.monotonic() < end and process.poll() is None:
        if any(path.parent not in before for path in folder.glob("*/step-*")):
            return
        time.sleep(0.01)
    raise AssertionError("no checkpoint was written")


def test_a_killed_try_goes_on_and_touches_nothing(project: Project) -> None:
    state = project.folder / ".state/train"
    tree, before = project.tree(), set(state.iterdir())
    process = subprocess.Popen([DDPM, "try", "train.lr=0.001"], cwd=project.folder, env=project.environment,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    wait_for_checkpoint(state, before, process)
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.wait()
    _, alive = psutil.wait_procs(children, timeout=60)
    assert not alive
    assert [each["state"] for each in project.trials().values()] == ["interrupted"]

    said = project.ddpm("try", "train.lr=0.001")
    assert re.search(r"train: resuming at image [\d,]+ of 800", said)
    assert max(map(len, said[said.index("memor.") :].splitlines())) <= 80
    assert project.tree() == tree
    assert "copying" not in said
    ((name, trial),) = project.trials().items()
    assert (trial["state"], trial["against"]) == ("finished", "champion (version 1)")
    assert f"{name}: {trial['verdict']['verdict']}" in said
    again = project.ddpm("try", "train.lr=0.001")
    assert "stage" not in again
    assert name in again


def test_the_verdict_is_that_of_the_pipeline(project: Project) -> None:
    """Both were scored from the seeds of this pair of models, which differ from those of their own evaluations."""
    ((name, trial),) = project.trials().items()
    compared = files.read_json(project.folder / ".state/trials" / name / "comparison.json")
    weights = [
        files.sha256_file(folder / "weights.safetensors")
        for folder in (project.folder / ".state/trials" / name / "model", project.folder / "out/train/model")
    ]
    conditions = [compared[each]["conditions"] for each in ("candidate", "champion")]
    assert [each["weights_sha256"] for each in conditions] == weights
    assert conditions[0]["seed"] == conditions[1]["seed"] != trial["scores"]["conditions"]["seed"]
    assert {row["name"] for row in trial["verdict"]["rows"]} >= {"FID (classifier, 300 images)", "KID", "recall"}


def test_the_page_and_dvc_show_it(project: Project) -> None:
    page = (project.folder / "out/report/trials.html").read_text()
    (name,) = project.trials()
    assert "lr=0.001: is it better?" in page
    assert f"ddpm try --keep {name}" in page
    assert page.count("data:image/png") == 3
    assert re.search(r'train.lr</th><td data-name="champion \(version 1\)">0.002</td>'
                     r'<td data-name="lr=0.001">0.001</td>', page)  # fmt: skip
    tagged = json.loads(project.python(TAGS))
    assert list(tagged) == [name]
    assert re.fullmatch(rf"FID \(classifier, 300 images\) [\d.]+; trial {name}: train.lr=0.001", tagged[name])
    assert re.search(rf"^{name},.*\b0\.001\b", project.run("dvc", "exp", "show", "--csv"), re.M)


def test_a_study_measures_the_spread_and_restores_the_seed_that_is_done(project: Project) -> None:
    said = project.ddpm("study", "--seeds", "2")
    assert said.count("stage train") == 1  # the first seed is the champion's training, in DVC's cache
    found = files.read_json(project.folder / "out/report/study.json")
    assert [each["seed"] for each in found["seeds"]] == [0, 1]
    fids = [each["scores"]["fid"] for each in found["seeds"]]
    champion = files.read_json(project.folder / "out/evaluate/metrics.json")
    assert fids[0] == champion["fid"] != fids[1]
    assert found["scores"]["fid"]["mean"] == pytest.approx(sum(fids) / 2)
    assert (found["pairs"], found["proposed"]) == (2, None)
    assert found["conditions"]["count"] == 300
    assert "2 training seeds" in said
    assert max(map(len, said[said.index("2 training seeds") :].splitlines())) <= 80


def test_the_queue_keeps_requests_until_they_are_done(project: Project) -> None:
    assert "did you mean lr?" in project.ddpm("try", "train.lrr=1", "--queue", status=1)
    said = project.ddpm("try", "train.lr=0.001", "--queue")
    project.ddpm("try", "train.lr=0.001", "--queue")
    (name,) = re.findall(r"queued: (\S+)", said)
    assert name in project.trials()
    assert project.ddpm("try", "--list").count("queued: train.lr=0.001") == 1
    assert name in project.ddpm("try", "--start")  # it is done already
    assert "queued" not in project.ddpm("try", "--list")
    assert "the queue is empty" in project.ddpm("try", "--start")


def test_a_budget_compares_variants_with_the_current_recipe_at_that_budget(project: Project) -> None:
    said = project.ddpm("try", "train.lr=0.003", "--budget", "0.25")
    found = [each for each in project.trials().values() if each["budget"] == 0.25]
    assert [each["changes"] for each in found] == [{}, {"train.lr": 0.003}]
    assert [each["against"] for each in found] == ["", "current recipe"]
    assert re.search(r"2 of 2: finished", said)
    assert "champion" not in said
    assert "try the best in full: ddpm try train.lr=0.003" in said
    recipe, one = (project.folder / ".state/trials" / each["name"] for each in found)
    compared = files.read_json(one / "comparison.json")["champion"]["conditions"]["weights_sha256"]
    assert compared == files.sha256_file(recipe / "model/weights.safetensors")
    history = (one / "history.csv").read_text().splitlines()
    assert history[-1].startswith("192,")  # 200 images in whole batches of 32
    assert "needs the whole" in project.ddpm("try", "--keep", one.name, status=1)
    page = (project.folder / "out/report/trials.html").read_text()
    assert "lr=0.003: is it better?" in page


def test_a_kept_trial_is_applied_and_registered_and_nothing_is_left_to_do(project: Project) -> None:
    (name,) = [name for name, each in project.trials().items() if each["changes"] and each["budget"] == 1]
    before = (project.folder / "params.yaml").read_text()
    said = project.ddpm("try", "--keep", name)
    assert "ddpm-faults version 2 is registered; the champion is as before" in said
    after = (project.folder / "params.yaml").read_text()
    lines = [(old, new) for old, new in zip(before.splitlines(), after.splitlines(), strict=True) if old != new]
    assert len(lines) == 1
    assert lines[0][1].split("#")[1] == lines[0][0].split("#")[1]  # the comment stays
    assert yaml_file.parse(after, "after")["train"]["lr"] == 0.001
    assert json.loads(project.python(STATUS)) == {"aliases": {"candidate": 2, "champion": 1}, "versions": 2}
    assert "up to date" in project.run("dvc", "status")
    kept = project.folder / ".state/trials" / name / "model/weights.safetensors"
    assert kept.read_bytes() == (project.folder / "out/train/model/weights.safetensors").read_bytes()
    assert project.trials()[name]["state"] == "kept"


def test_what_the_project_would_not_make_is_not_kept(project: Project) -> None:
    (name,) = [name for name, each in project.trials().items() if each["seed"] == 1]
    path = project.folder / "params.yaml"
    text = path.read_text()
    said = project.ddpm("try", "--keep", name, status=1)  # made with the learning rate from before
    assert "have changed since" in said
    assert path.read_text() == text
    assert "is not a trial" in project.ddpm("try", "--keep", "other", status=1)


def test_a_dropped_trial_is_gone(project: Project) -> None:
    names = list(project.trials())
    project.ddpm("try", "--drop", names[0])
    assert list(project.trials()) == names[1:]
    assert names[0] not in project.run("dvc", "exp", "show", "--csv")
    assert names[1] in project.run("dvc", "exp", "show", "--csv")
