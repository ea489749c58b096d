"""The Kubernetes file and Railway's name nothing that does not exist, and give workers the time to drain.

No cluster is where the tests are. The file was held against Kubernetes' own schemas by hand, with `kubernetes-validate`
(strict), which is too large for the environment that everybody makes.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from shared.settings import Settings, variable
from workers.supervisor import GRACE

CheckCommand = Callable[[Sequence[str]], None]
Thing = dict[str, Any]
DRAIN_S: float = Settings.model_fields["drain_timeout"].default.total_seconds()
SUPERVISOR_S = GRACE.total_seconds()


@pytest.fixture(scope="session")
def things(repository: Path) -> list[Thing]:
    found: list[Thing] = yaml.safe_load((repository / "ops/deploy/kubernetes.yml").read_text())["items"]
    return found


@pytest.fixture(scope="session")
def pods(things: list[Thing]) -> dict[str, Thing]:
    return {
        thing["metadata"]["name"]: thing["spec"]["template"]["spec"]
        for thing in things
        if thing["kind"] in ("Job", "Deployment")
    }


def containers(pods: dict[str, Thing]) -> Iterator[Thing]:
    for pod in pods.values():
        yield from pod["containers"]


def test_every_pod_runs_a_command_that_exists(pods: dict[str, Thing], check_command: CheckCommand) -> None:
    assert pods.keys() == {"runferry-schema", "runferry-worker", "runferry-scheduler", "runferry-backfill"}
    for container in containers(pods):
        assert "command" not in container, "the image's entrypoint reads the secrets' files"
        check_command(["runferry-entrypoint", *container["args"]])
        for probe in ("readinessProbe", "livenessProbe"):
            if "exec" in container.get(probe, {}):
                check_command(container[probe]["exec"]["command"])


def test_every_variable_is_one_that_something_reads(things: list[Thing], repository: Path) -> None:
    (config,) = (thing["data"] for thing in things if thing["kind"] == "ConfigMap")
    loop = re.search(
        r"^for name in (.+); do$", (repository / "ops/deploy/entrypoint.sh").read_text(), re.MULTILINE
    )
    assert loop is not None
    assert set(config) <= {variable(field) for field in Settings.model_fields} | {
        f"{secret}_FILE" for secret in loop[1].split()
    }
    # Values that the settings take, but for those that name files.
    Settings.from_environment(
        **{name.removeprefix("RUNFERRY_").lower(): value for name, value in config.items() if "_FILE" not in name}
    )


def test_secrets_come_from_files_that_are_mounted(things: list[Thing], pods: dict[str, Thing]) -> None:
    (config,) = (thing["data"] for thing in things if thing["kind"] == "ConfigMap")
    folders = {str(Path(value).parent) for name, value in config.items() if name.endswith("_FILE")}
    keys = {Path(value).name for name, value in config.items() if name.endswith("_FILE")}
    assert keys == {"database_url", "redis_url"}
    for pod in pods.values():
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        for container in pod["containers"]:
            mounts = {mount["mountPath"]: volumes[mount["name"]] for mount in container["volumeMounts"]}
            for folder in folders:
                assert mounts[folder]["secret"]["secretName"] == "runferry-stores"
            assert container["envFrom"] == [{"configMapRef": {"name": "runferry"}}]
            assert "env" not in container


def test_pods_have_longer_than_their_drain_takes(pods: dict[str, Thing]) -> None:
    for name in ("runferry-worker", "runferry-scheduler", "runferry-backfill"):
        assert pods[name]["terminationGracePeriodSeconds"] >= DRAIN_S + SUPERVISOR_S


def test_nothing_runs_as_root_or_writes_to_its_image(pods: dict[str, Thing], repository: Path) -> None:
    (uid,) = re.findall(r"^USER (\d+):", (repository / "ops/deploy/Dockerfile").read_text(), re.MULTILINE)
    for pod in pods.values():
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == int(uid)
        assert pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
        assert pod["automountServiceAccountToken"] is False
        # A Service named runferry-metrics would set RUNFERRY_METRICS_PORT to an address.
        assert pod["enableServiceLinks"] is False
        for container in pod["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["securityContext"]["capabilities"]["drop"] == ["ALL"]
            assert "memory" in container["resources"]["limits"]


def test_what_is_written_to_is_a_volume(pods: dict[str, Thing], repository: Path) -> None:
    (home,) = re.findall(r"RUNFERRY_HOME=(\S+)", (repository / "ops/deploy/Dockerfile").read_text())
    for pod in pods.values():
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        for container in pod["containers"]:
            writable = {
                mount["mountPath"] for mount in container["volumeMounts"] if "emptyDir" in volumes[mount["name"]]
            }
            assert writable == {home, "/tmp"}


def test_the_run_folders_are_where_the_settings_look_for_them(things: list[Thing], pods: dict[str, Thing]) -> None:
    (config,) = (thing["data"] for thing in things if thing["kind"] == "ConfigMap")
    claims = {thing["metadata"]["name"] for thing in things if thing["kind"] == "PersistentVolumeClaim"}
    for name in ("runferry-worker", "runferry-scheduler", "runferry-backfill"):
        volumes = {volume["name"]: volume for volume in pods[name]["volumes"]}
        (container,) = pods[name]["containers"]
        (mount,) = (one for one in container["volumeMounts"] if one["mountPath"] == config["RUNFERRY_ROOT"])
        assert mount["readOnly"] is True
        assert volumes[mount["name"]]["persistentVolumeClaim"]["claimName"] in claims


def test_metrics_are_scraped_where_they_are_served(things: list[Thing], pods: dict[str, Thing]) -> None:
    (config,) = (thing["data"] for thing in things if thing["kind"] == "ConfigMap")
    first = int(config["RUNFERRY_METRICS_PORT"])
    templates = {
        thing["metadata"]["name"]: thing["spec"]["template"] for thing in things if thing["kind"] == "Deployment"
    }
    for name, place in (("runferry-scheduler", 0), ("runferry-worker", 1)):
        (container,) = pods[name]["containers"]
        assert container["ports"] == [{"name": "metrics", "containerPort": first + place}]
        assert templates[name]["metadata"]["annotations"]["prometheus.io/port"] == str(first + place)


def test_a_probe_that_kills_asks_no_store(pods: dict[str, Thing]) -> None:
    for container in containers(pods):
        assert "exec" not in container.get("livenessProbe", {})
        assert "startupProbe" not in container


def test_deployments_select_their_own_pods(things: list[Thing]) -> None:
    for thing in things:
        if thing["kind"] == "Deployment":
            labels = thing["spec"]["template"]["metadata"]["labels"]
            assert thing["spec"]["selector"]["matchLabels"].items() <= labels.items()


def test_the_backfill_waits_until_it_is_asked_for(things: list[Thing]) -> None:
    (backfill,) = (thing for thing in things if thing["metadata"]["name"] == "runferry-backfill")
    assert backfill["spec"]["suspend"] is True


def test_railways_file_runs_commands_that_exist_and_drains(repository: Path, check_command: CheckCommand) -> None:
    config = json.loads((repository / "ops/deploy/railway.json").read_text())
    deploy = config["deploy"]
    for line in (deploy["startCommand"], *deploy["preDeployCommand"]):
        check_command(shlex.split(line))
    assert (repository / config["build"]["dockerfilePath"]).is_file()
    # Railway's parser refuses a number in quotes.
    assert isinstance(deploy["drainingSeconds"], int)
    assert deploy["drainingSeconds"] >= DRAIN_S + SUPERVISOR_S
