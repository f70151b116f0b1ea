"""deploy/compose.yaml against the compose specification, and against the code that it starts."""

import importlib
import inspect
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import click
import jsonschema_rs
import psycopg
import pytest
import typer
from cryptography import x509
from dagster._core import telemetry_upload

import pipeline
from deploy.compose import log_ins, make_secrets
from deploy.compose.tests.composed import DEPLOY, FILE, Service, in_order, read, services
from deploy.image import entry, health
from pipeline.cli import app
from pipeline.produce.rest.api_keys import digest_of, read_list

SCHEMA: Final = json.loads((DEPLOY / "compose" / "schema" / "compose-spec.json").read_text())
SERVICES: Final = services()
OURS: Final = [each for each in SERVICES.values() if each.ours]
GATEWAYS: Final = {"gateway": "gateway", "web-gateway": "web-gateway"}
"""Those that anybody may reach, and the folders of their templates."""

PRIVACY: Final = DEPLOY.parent / "docs" / "privacy.md"
UNCHECKED: Final = {"worker", "traffic"}
"""Nobody waits for them: a worker's runs are looked after by the daemon."""

SECRETS: Final = "/run/secrets/"
PUBLIC: Final = {
    "AWS_ACCESS_KEY_ID": {"test"},
    "AWS_SECRET_ACCESS_KEY": {"test"},
    "PIPELINE_KEYRING": {"/keyring/keyring.json", "/tmp/keyring.json"},  # noqa: S108 - a volume
    "PIPELINE_KEYRING_KMS_KEY": {"alias/keyring"},
}
"""What sounds like a secret and is none: LocalStack takes any credentials; where the keyring is."""

_ADDRESS: Final = re.compile(r"^(?:[a-z]+://)?([a-z-]+):(\d+)")


def named(those: Iterable[Service]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """One case for each service, by its name."""
    return pytest.mark.parametrize("service", [pytest.param(each, id=each.name) for each in those])


def settings(service: Service) -> Iterator[tuple[str, str | None]]:
    """What the command finds: each name, and its value; None where it lies in a file."""
    for name, value in service.environment.items():
        if value.startswith(SECRETS) and name.endswith(entry.SUFFIX) and service.ours:
            yield name.removesuffix(entry.SUFFIX), None
        else:
            yield name, value


def option(service: Service, *names: str) -> str | None:
    """The value of an option in a service's command."""
    words = service.command
    return next((words[at + 1] for at, word in enumerate(words) if word in names), None)


def test_it_is_what_the_specification_allows() -> None:
    found = jsonschema_rs.validator_for(SCHEMA).iter_errors(read())
    assert [f"{each.instance_path}: {each.message}" for each in found] == []


def test_the_schema_refuses_what_is_none_of_the_specification() -> None:
    said = read()
    said["services"]["web"]["read_onyl"] = True
    assert not jsonschema_rs.is_valid(SCHEMA, said)


def test_every_service_comes_after_those_that_it_waits_for_and_which_can_be_waited_for() -> None:
    ordered = list(in_order(SERVICES))
    assert len(ordered) == len(SERVICES)
    for service in ordered:
        for name, condition in service.after.items():
            once = SERVICES[name].said["restart"] == "no"
            wanted = "service_completed_successfully" if once else "service_healthy"
            assert condition == wanted, (service.name, name)
            assert once or SERVICES[name].check, name
            profiles = set(SERVICES[name].profiles)
            assert profiles <= set(service.profiles), "it would not be started"


@named(SERVICES.values())
def test_a_service_can_do_no_more_than_it_must(service: Service) -> None:
    said = service.said
    assert said["read_only"] is True
    assert said["cap_drop"] == ["ALL"]
    assert "cap_add" not in said
    assert "privileged" not in said
    assert said["security_opt"] == ["no-new-privileges:true"]
    user, group = str(said["user"]).split(":")
    assert int(user) > 0
    assert int(group) > 0
    assert not service.ours or user == "10001"
    assert said["pids_limit"] > 0
    assert re.fullmatch(r"\d+[mg]", said["mem_limit"])
    assert said["restart"] in {"unless-stopped", "no"}
    assert said["logging"]["options"]["max-size"]
    assert said["ulimits"] == {"core": 0}
    assert service.networks


@named(each for each in SERVICES.values() if each.said["restart"] != "no")
def test_what_stays_up_has_a_check_and_a_time_to_end(service: Service) -> None:
    assert re.fullmatch(r"\d+s", service.said["stop_grace_period"])
    assert (service.check is None) == (service.name in UNCHECKED)


def test_only_the_gateways_can_be_reached_and_reach_out() -> None:
    said = read()
    leading_out = {name for name, each in said["networks"].items() if not each.get("internal")}
    for name, service in SERVICES.items():
        published = bool(service.said.get("ports")) or "network_mode" in service.said
        assert published == (name in GATEWAYS), name
        assert bool(service.networks & leading_out) == (name in GATEWAYS), name
    assert set().union(*(each.networks for each in SERVICES.values())) == set(said["networks"])


def test_the_code_server_is_reached_by_those_alone_who_ask_it() -> None:
    asking = {name for name, each in SERVICES.items() if "control" in each.networks}
    assert asking == {"code", "web", "viewer", "daemon"}


# --- Commands -------------------------------------------------------------------------------------


def _root(program: str) -> Any:  # noqa: ANN401 - of click, or of the one that typer carries
    """The command line of a program."""
    if program == "pipeline":
        return typer.main.get_command(app)
    module, name = {
        "dagster": ("dagster._cli", "cli"),
        "dagster-webserver": ("dagster_webserver.cli", "dagster_webserver"),
        "dagster-daemon": ("dagster._daemon.cli", "cli"),
    }[program]
    made = getattr(importlib.import_module(module), name)
    return made if isinstance(made, click.Command) else made()


def parse(words: list[str]) -> None:
    """Reads a command as its program does, and does nothing.

    Raises:
        AssertionError: There is no such command.
        Exception: It would be refused: click's UsageError, or typer's own.
    """
    command, left = _root(words[0]), words[1:]
    while hasattr(command, "commands"):
        assert left[0] in command.commands, f"there is no {left[0]}"
        command, left = command.commands[left[0]], left[1:]
    if left != ["--help"]:
        command.make_context(words[0], left)


def test_a_command_that_is_none_is_noticed() -> None:
    for words in (["pipeline", "migrat"], ["pipeline", "keys", "mak"]):
        with pytest.raises(AssertionError, match="there is no"):
            parse(words)
    with pytest.raises(Exception, match="No such option"):
        parse(["pipeline", "serve", "--hots", "0.0.0.0"])  # noqa: S104 - never listened on


@named(each for each in OURS if each.command[0] != "python")
def test_a_command_is_one_that_the_code_has(service: Service) -> None:
    # Where the image has the file of this folder.
    parse([word.replace("/app/", f"{DEPLOY}/") for word in service.command])


@named(each for each in OURS if each.command[0] == "python")
def test_a_script_is_mounted_where_it_is_started(service: Service) -> None:
    [config] = service.said["configs"]
    assert service.command[1] == config["target"]
    script = DEPLOY / read()["configs"][config["source"]]["file"]
    assert '__name__ == "__main__"' in script.read_text()
    for word in service.command[2:]:
        name = word.removeprefix(SECRETS.rstrip("/")).lstrip("/")
        assert not name or name in service.secrets


@named(each for each in OURS if each.check)
def test_the_images_check_knows_the_command_and_its_port(service: Service) -> None:
    assert service.check == ["/app/entry", "python", "/app/health.py"]
    found = health.chosen(["/app/entry", *service.command])
    assert found is not None
    given = option(service, "-p", "--port")
    assert given is None or found[1] == int(given)


# --- Environment and secrets ----------------------------------------------------------------------


def _read_by_the_code() -> str:
    code = Path(pipeline.__file__).parent
    texts = [path.read_text() for path in code.rglob("*.py")]
    texts += [inspect.getsource(telemetry_upload)]  # Dagster's own setting
    texts += [(DEPLOY / name).read_text() for name in ("dagster.yaml", "workspace.yaml")]
    return "\n".join(texts)


def test_every_setting_is_read_by_the_code() -> None:
    code = _read_by_the_code()
    libpq = {each.envvar.decode() for each in psycopg.pq.Conninfo.get_defaults() if each.envvar}
    for service in OURS:
        for name, _ in settings(service):
            known = re.search(rf"\b{name}\b", code) or name in libpq
            assert known, f"{service.name} sets {name}, which nothing reads"


@named(OURS)
def test_what_lies_in_a_file_is_read_by_the_entry_point(service: Service) -> None:
    for name, value in service.environment.items():
        if value.startswith(SECRETS):
            setting = name.removesuffix(entry.SUFFIX)
            assert setting != name
            assert setting.startswith(entry.PREFIXES) or setting in entry.OTHERS


def test_every_service_is_given_the_secrets_that_it_names_and_no_others() -> None:
    for service in SERVICES.values():
        text = " ".join([*service.environment.values(), *service.command])
        uses = set(re.findall(rf"{SECRETS}(\w+)", text))
        if service.name == "log-ins":  # all that are a log-in
            uses = {*log_ins.GROUPS, "superuser_password"}
        assert set(service.secrets) == uses, service.name


def test_no_secret_stands_in_the_file() -> None:
    for service in SERVICES.values():
        for name, value in service.environment.items():
            secret = re.search(r"PASSWORD|SECRET|KEY|TOKEN|BROKER|POSTGRES_URL", name)
            open_to_all = value in PUBLIC.get(name, ())
            assert not secret or value.startswith(SECRETS) or open_to_all, (service.name, name)
    assert not re.search(r"://[^ ]*:[^ ]*@", FILE.read_text())


def test_who_may_unmask_is_told_to_nobody_else() -> None:
    holders = {name: set(each.secrets) for name, each in SERVICES.items()}
    for secret, who in {
        "custodian_url": {"custodian"},
        "owner_url": {"migrate"},
        "superuser_password": {"postgres"},
        "kms_key_material": {"make-aws"},
        "loader_url": {"keys", "code", "operator", "worker"},
        "gateway_key": {"gateway"},
    }.items():
        assert {name for name, held in holders.items() if secret in held} - {"log-ins"} == who


def _needs(service: Service) -> Iterator[tuple[str, int | None]]:
    """The services that one names: in its settings, and in the URLs of its secrets."""
    for _, value in settings(service):
        found = _ADDRESS.match(value or "")
        if found:
            yield found[1], int(found[2])
    if "PGHOST" in service.environment:
        yield service.environment["PGHOST"], None
    if "PIPELINE_CODE_HOST" in service.environment and "control" in service.networks:
        yield service.environment["PIPELINE_CODE_HOST"], None
    if {"analyst_service", *make_secrets.DATABASES} & set(service.secrets):
        yield "postgres", None


# It is given the log-in because settings are given as a whole, and asks nothing of the database.
@named(each for each in SERVICES.values() if each.name not in {"localstack", "keys"})
def test_a_service_shares_a_network_with_those_whom_it_asks(service: Service) -> None:
    for name, _ in _needs(service):
        assert service.networks & SERVICES[name].networks, f"{service.name} does not reach {name}"


# --- Ports ----------------------------------------------------------------------------------------


def test_ports_are_those_at_which_the_others_knock() -> None:
    web, viewer, rest = (SERVICES[name] for name in ("web", "viewer", "rest"))
    gates = SERVICES["web-gateway"].environment
    assert gates["WEB_GATEWAY_WEB"] == f"web:{option(web, '-p')}"
    assert gates["WEB_GATEWAY_VIEWER"] == f"viewer:{option(viewer, '-p')}"
    assert "--read-only" in viewer.command
    served = health.chosen(rest.command)
    assert served is not None
    assert SERVICES["gateway"].environment["GATEWAY_SERVICE"] == f"rest:{served[1]}"
    code = SERVICES["code"]
    for name in ("web", "viewer", "daemon"):
        given = SERVICES[name].environment
        assert given["PIPELINE_CODE_HOST"] == "code"
        assert given["PIPELINE_CODE_PORT"] == option(code, "-p")
    for service in OURS:
        url = service.environment.get("AWS_ENDPOINT_URL")
        assert url in {None, f"http://{SERVICES['localstack'].environment['LOCALSTACK_HOST']}"}


def test_the_gateways_publish_what_they_listen_on_for_this_machine_alone() -> None:
    listened = {
        "gateway": {SERVICES["gateway"].environment["GATEWAY_LISTEN"]},
        "web-gateway": {
            SERVICES["web-gateway"].environment[f"WEB_GATEWAY_{name}PORT"]
            for name in ("", "VIEWER_")
        },
    }
    for name, ports in listened.items():
        assert {f"127.0.0.1:{each}:{each}" for each in ports} == set(SERVICES[name].said["ports"])


@pytest.mark.parametrize(("name", "folder"), GATEWAYS.items())
def test_a_gateway_is_given_all_settings_of_its_template_and_no_others(
    name: str, folder: str
) -> None:
    service, said = SERVICES[name], read()
    template = DEPLOY / folder / "nginx.conf.template"
    [config] = service.said["configs"]
    assert DEPLOY / said["configs"][config["source"]]["file"] == template
    prefix = service.environment["NGINX_ENVSUBST_FILTER"].removeprefix("^")
    wanted = set(re.findall(rf"\$\{{({prefix}\w+)\}}", template.read_text()))
    assert wanted == {each for each in service.environment if each.startswith(prefix)}


# --- Postgres -------------------------------------------------------------------------------------


def test_postgres_keeps_rows_out_of_its_log() -> None:
    words = SERVICES["postgres"].command
    given = dict(each.removeprefix("-c").split("=") for each in words if each.startswith("-c"))
    _, _, after = PRIVACY.read_text().partition("| setting | set | ")
    rows = [line.split("|")[1:3] for line in after.partition("\n\n")[0].splitlines()[2:]]
    wanted = {name: values for names, values in rows for name in re.findall(r"`(\w+)`", names)}
    assert {"log_min_messages", "log_statement", "debug_print_plan"} <= set(wanted)
    for name, values in wanted.items():
        assert f"`{given[name]}`" in values, name
    assert given["password_encryption"] == "scram-sha-256"  # noqa: S105 - a method
    assert "scram-sha-256" in SERVICES["postgres"].environment["POSTGRES_INITDB_ARGS"]


# --- The secret files -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "secrets"
    assert len(list(make_secrets.make(folder, ["localhost", "events.example.org"]))) > 1
    return folder


def test_every_secret_of_the_file_is_made_and_stays_when_asked_for_again(secrets: Path) -> None:
    said = {each["file"] for each in read()["secrets"].values()}
    assert {f"compose/secrets/{name}" for name in read()["secrets"]} == said
    before = {path.name: path.read_text() for path in secrets.iterdir()}
    assert set(before) >= set(read()["secrets"])
    assert list(make_secrets.make(secrets, ["localhost"])) == []
    assert {path.name: path.read_text() for path in secrets.iterdir()} == before


def test_only_its_owner_reaches_the_files_which_every_user_of_a_container_may_read(
    secrets: Path,
) -> None:
    assert secrets.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in secrets.iterdir()} == {0o444}


def test_log_ins_are_those_of_the_files_each_with_its_own_password(secrets: Path) -> None:
    assert set(log_ins.GROUPS) == set(make_secrets.DATABASES)
    urls = [urlsplit((secrets / name).read_text()) for name in log_ins.GROUPS]
    assert {each.hostname for each in urls} == {"postgres"}
    assert len({each.username for each in urls}) == len(urls)
    assert len({each.password for each in urls}) == len(urls)


def test_the_two_sides_of_a_door_know_the_same(secrets: Path) -> None:
    broker = urlsplit((secrets / "broker_url").read_text())
    assert broker.hostname == "redis"
    assert f"requirepass {broker.password}\n" in (secrets / "redis_conf").read_text()
    analyst = urlsplit((secrets / "analyst_url").read_text())
    assert f"password={analyst.password}\n" in (secrets / "analyst_service").read_text()
    [sender] = read_list((secrets / "api_keys").read_bytes(), "api_keys").values()
    assert sender.keys == (digest_of((secrets / "sender_key").read_text()),)


@pytest.mark.parametrize("name", make_secrets.CERTIFICATES)
def test_a_certificate_is_for_the_names_that_were_asked_for(secrets: Path, name: str) -> None:
    found = x509.load_pem_x509_certificate((secrets / f"{name}_certificate").read_bytes())
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost", "events.example.org"]


def _workers() -> Mapping[str, Any]:
    lines = (DEPLOY / "compose" / "workers.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_with_workers_every_process_of_dagster_has_celery() -> None:
    given = _workers()
    chosen = services(given)
    assert given["COMPOSE_PROFILES"] in chosen["worker"].profiles
    for name in ("code", "web", "viewer", "daemon", "worker"):
        assert chosen[name].environment["PIPELINE_LAUNCHER"] == "celery"
        assert chosen[name].said["build"]["target"] == "worker"
        assert chosen[name].networks & chosen["redis"].networks
