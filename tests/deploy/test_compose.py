"""The compose file names nothing that does not exist, and keeps what the queue's safety rests on.

No Docker runs where the tests do: what can be checked without it is checked here.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import compose_spec
import pytest
import redis
import yaml

from shared.settings import MEBIBYTE, Settings, variable
from workers.supervisor import GRACE

OWN = ("schema", "worker", "scheduler", "producer", "ops")
MONITORING = ("prometheus", "grafana")
CheckCommand = Callable[[Sequence[str]], None]


def _command_line(service: dict[str, Any]) -> list[str]:
    return [*service.get("entrypoint", ["runferry-entrypoint"]), *service["command"]]


def _seconds(text: str) -> float:
    match = re.fullmatch(r"(\d+)(s|m)", text)
    assert match is not None
    return int(match[1]) * {"s": 1, "m": 60}[match[2]]


def _bytes(text: str) -> int:
    match = re.fullmatch(r"(\d+)(mb|gb)", text)
    assert match is not None
    return int(match[1]) * {"mb": MEBIBYTE, "gb": 1024 * MEBIBYTE}[match[2]]


@pytest.mark.parametrize("name", OWN)
def test_every_service_runs_a_command_that_exists(
    compose: dict[str, Any], check_command: CheckCommand, name: str
) -> None:
    check_command(_command_line(compose["services"][name]))


def test_every_healthcheck_of_ours_runs_a_command_that_exists(
    compose: dict[str, Any], check_command: CheckCommand
) -> None:
    for name in ("worker", "scheduler"):
        kind, *command = compose["services"][name]["healthcheck"]["test"]
        assert kind == "CMD"
        check_command(command)


def test_every_command_line_of_the_documentation_exists(
    compose: dict[str, Any], check_command: CheckCommand, repository: Path
) -> None:
    text = (repository / "docker-compose.yml").read_text() + (repository / "ops/deploy/README.md").read_text()
    lines = re.findall(r"docker compose run --rm (.+)", text)
    assert len(lines) >= 2
    for line in lines:
        name, *arguments = shlex.split(line)
        check_command([*compose["services"][name]["entrypoint"], *arguments])
    scaled = re.findall(r"--scale (\w+)=", text)
    assert set(scaled) == {"worker"}


@pytest.mark.parametrize("name", OWN)
def test_every_variable_is_one_that_something_reads(compose: dict[str, Any], repository: Path, name: str) -> None:
    loop = re.search(
        r"^for name in (.+); do$", (repository / "ops/deploy/entrypoint.sh").read_text(), re.MULTILINE
    )
    assert loop is not None
    settings = {variable(field) for field in Settings.model_fields}
    known = settings | {f"{secret}_FILE" for secret in loop[1].split()}
    assert set(compose["services"][name]["environment"]) <= known


@pytest.mark.parametrize("name", OWN)
def test_the_urls_lead_to_services_of_the_file(compose: dict[str, Any], name: str) -> None:
    environment = compose["services"][name]["environment"]
    database, queue = urlsplit(environment["DATABASE_URL"]), urlsplit(environment["REDIS_URL"])
    postgres = compose["services"]["postgres"]["environment"]
    assert (database.hostname, queue.hostname) == ("postgres", "redis")
    assert database.username == postgres["POSTGRES_USER"]
    assert database.path == f"/{postgres['POSTGRES_DB']}"
    assert database.password is None, "a password in the file would be in the repository"


def test_what_services_lean_on_is_declared(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for service in services.values():
        for needed, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert "healthcheck" in services[needed]
            else:
                assert how["condition"] == "service_completed_successfully"
                assert "restart" not in services[needed], "a job that is restarted never completes"
        assert set(service.get("networks", ())) <= set(compose["networks"])
        assert set(service.get("secrets", ())) <= set(compose["secrets"])
        named = {
            volume.split(":")[0]
            for volume in service.get("volumes", ())
            if isinstance(volume, str) and not volume.startswith("./")
        }
        assert named <= set(compose["volumes"])


def test_workers_scale(compose: dict[str, Any]) -> None:
    """One process a container, and nothing that only one container can have."""
    worker = compose["services"]["worker"]
    assert worker["command"] == ["worker", "--processes", "1"]
    assert not {"container_name", "ports", "hostname"} & set(worker)


def test_workers_start_after_the_schema_and_are_given_the_time_to_drain(compose: dict[str, Any]) -> None:
    worker = compose["services"]["worker"]
    assert worker["depends_on"]["schema"]["condition"] == "service_completed_successfully"
    drain: timedelta = Settings.model_fields["drain_timeout"].default
    assert _seconds(worker["stop_grace_period"]) >= 1.5 * drain.total_seconds()
    scheduler = compose["services"]["scheduler"]
    assert _seconds(scheduler["stop_grace_period"]) >= (drain + GRACE).total_seconds()


def test_nothing_runs_as_root_or_writes_to_its_image(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert "build" in service or service["user"] in ("postgres", "redis", "nobody", "grafana"), name
        assert {"mem_limit", "pids_limit", "logging"} <= service.keys(), name


def test_only_grafana_is_reached_from_outside_and_only_from_this_host(compose: dict[str, Any]) -> None:
    published = {name: service["ports"] for name, service in compose["services"].items() if "ports" in service}
    assert published == {"grafana": ["127.0.0.1:3000:3000"]}
    # On a network of its own: what is only on an internal one can't publish, and Grafana has no business with stores.
    assert compose["services"]["grafana"]["networks"] == ["monitoring"]
    assert compose["networks"]["stores"]["internal"] is True


def test_monitoring_is_a_profile(compose: dict[str, Any]) -> None:
    for name in MONITORING:
        assert compose["services"][name]["profiles"] == ["monitoring"]
    assert not any(
        set(service.get("depends_on", {})) & set(MONITORING)
        for name, service in compose["services"].items()
        if name not in MONITORING
    )


def test_prometheus_scrapes_where_metrics_are_served(compose: dict[str, Any], repository: Path) -> None:
    config = yaml.safe_load((repository / "ops/deploy/prometheus/prometheus.yml").read_text())
    jobs = {job["job_name"]: job for job in config["scrape_configs"]}
    environment = compose["services"]["worker"]["environment"]
    first = int(environment["RUNFERRY_METRICS_PORT"])
    assert environment["RUNFERRY_METRICS_HOST"] == "0.0.0.0"
    (system,) = jobs["runferry-system"]["static_configs"]
    (workers,) = jobs["runferry-workers"]["dns_sd_configs"]
    # `worker --scheduler` has the system on the first port, and a worker is the first of its process' places.
    assert system["targets"] == [f"scheduler:{first}"]
    assert "--scheduler" in compose["services"]["scheduler"]["command"]
    assert (workers["names"], workers["port"]) == (["worker"], first + 1)
    for name in ("scheduler", "worker", "prometheus"):
        assert "stores" in compose["services"][name]["networks"]


def test_what_monitoring_reads_is_mounted_where_it_looks(compose: dict[str, Any], repository: Path) -> None:
    mounted: dict[str, str] = {}
    for name in MONITORING:
        for volume in compose["services"][name]["volumes"]:
            source, target, *mode = volume.split(":")
            if source.startswith("./"):
                assert (repository / source).exists(), source
                assert mode == ["ro"]
                mounted[source.removeprefix("./ops/deploy/")] = target
    command = compose["services"]["prometheus"]["command"]
    assert f"--config.file={mounted['prometheus/prometheus.yml']}" in command
    config = yaml.safe_load((repository / "ops/deploy/prometheus/prometheus.yml").read_text())
    assert config["rule_files"] == [mounted["prometheus/alerts.yml"]]
    provisioning = repository / "ops/deploy/grafana/provisioning"
    (provider,) = yaml.safe_load((provisioning / "dashboards/runferry.yml").read_text())["providers"]
    assert provider["options"]["path"] == mounted["grafana/dashboards"]
    (source,) = yaml.safe_load((provisioning / "datasources/prometheus.yml").read_text())["datasources"]
    assert urlsplit(source["url"]).hostname == "prometheus"
    home = compose["services"]["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (repository / "ops/deploy/grafana/dashboards" / Path(home).name).is_file()


def test_compose_itself_would_read_the_file(compose: dict[str, Any]) -> None:
    """By a strict parser of the Compose Specification, after merging, which refuses what it does not know."""
    compose_spec.PyCompose.from_json(json.dumps(compose)).validate()
    typo = compose | {"services": {"worker": compose["services"]["worker"] | {"restrat": "always"}}}
    with pytest.raises(ValueError, match="restrat"):
        compose_spec.PyCompose.from_json(json.dumps(typo))


def test_secrets_come_from_files_that_are_never_committed(compose: dict[str, Any], repository: Path) -> None:
    """Compose refuses secrets from variables where the root is read-only: docker/compose issue 12031."""
    for secret in compose["secrets"].values():
        path = repository / secret["file"]
        ignored = subprocess.run(["git", "check-ignore", "--quiet", str(path)], cwd=repository, check=False)
        assert ignored.returncode == 0, path
    assert compose["services"]["postgres"]["environment"]["POSTGRES_PASSWORD_FILE"] in {
        f"/run/secrets/{name}" for name in compose["services"]["postgres"]["secrets"]
    }


def test_the_run_folders_are_where_the_settings_look_for_them(compose: dict[str, Any]) -> None:
    for name in ("worker", "scheduler", "producer"):
        service = compose["services"][name]
        (folder,) = service["volumes"]
        assert folder["target"] == service["environment"]["RUNFERRY_ROOT"]
        assert Path(folder["source"]) == Settings.model_fields["root"].default
        assert folder["read_only"] is True
        assert folder["bind"]["create_host_path"] is False


def test_the_image_is_built_from_files_that_exist(compose: dict[str, Any], repository: Path) -> None:
    build = compose["services"]["worker"]["build"]
    assert (repository / build["context"] / build["dockerfile"]).is_file()


def test_producers_wait_before_redis_is_full(compose: dict[str, Any]) -> None:
    service = compose["services"]["redis"]
    arguments = service["command"]
    most = _bytes(arguments[arguments.index("--maxmemory") + 1])
    assert (
        Settings.model_fields["high_water_bytes"].default
        <= Settings.model_fields["high_water_memory"].default * most
    )
    assert most < _bytes(service["mem_limit"])


def test_a_real_redis_takes_the_flags_and_is_durable(compose: dict[str, Any], tmp_path: Path) -> None:
    program, *arguments = compose["services"]["redis"]["command"]
    socket = tmp_path / "s"
    server = subprocess.Popen(
        [
            str(Path(sys.executable).parent / program),
            *arguments,
            *("--port", "0", "--unixsocket", str(socket), "--dir", str(tmp_path)),
        ],
        stdout=subprocess.DEVNULL,
    )
    try:
        with redis.Redis(unix_socket_path=str(socket)) as client:
            _wait_for_answer(client, server)
            assert client.config_get("appendonly")["appendonly"] == "yes"
            assert client.config_get("appendfsync")["appendfsync"] in ("everysec", "always")
            assert client.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"
            assert int(client.config_get("maxmemory")["maxmemory"]) > 0
    finally:
        server.kill()
        server.wait()


def _wait_for_answer(client: redis.Redis, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            client.ping()
            return
        except redis.ConnectionError:
            assert server.poll() is None, "Redis refused its flags"
            assert time.monotonic() < deadline
