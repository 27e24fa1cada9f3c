"""Who may talk to a server: this machine, or those whose keys it knows."""

import json
import os
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq
from light_server import LightServer, connected, free_port, server

from inference_server.errors import UserError
from inference_server.service.security import check_address, make_keys, read_key_file
from inference_server.wire.address import is_loopback, split_address
from inference_server.wire.client import Client, ConnectionState, RequestError
from inference_server.wire.protocol import ErrorCode


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    for name in ("server", "anna"):
        make_keys(folder, name)
    return folder


def test_a_client_whose_secret_file_was_handed_over_keeps_its_key(tmp_path):
    secret_file, is_new = make_keys(tmp_path, "anna")
    public, _ = read_key_file(secret_file)
    secret_file.unlink()
    file, is_new_again = make_keys(tmp_path, "anna")
    assert (is_new, is_new_again) == (True, False)
    assert read_key_file(file) == (public, None)


def test_a_server_without_its_secret_file_is_told_what_to_do(tmp_path):
    secret_file, _ = make_keys(tmp_path, "server")
    secret_file.unlink()
    with pytest.raises(UserError, match="put it back, or delete .*server.key"):
        make_keys(tmp_path, "server")
    (tmp_path / "server.key").unlink()
    assert make_keys(tmp_path, "server") == (secret_file, True)


def test_names_that_differ_in_case_only_are_not_made_since_many_disks_take_them_for_one(tmp_path):
    secret_file, _ = make_keys(tmp_path, "anna")
    with pytest.raises(UserError, match="keys named 'anna'.* 'Anna'"):
        make_keys(tmp_path, "Anna")
    secret_file.unlink()
    with pytest.raises(UserError, match="keys named 'anna'"):
        make_keys(tmp_path, "ANNA")
    assert sorted(file.name for file in (tmp_path / "clients").iterdir()) == ["anna.key"]
    make_keys(tmp_path, "anna-2")


@pytest.fixture(scope="module")
def guarded(keys: Path) -> Iterator[LightServer]:
    with server(f"tcp://0.0.0.0:{free_port()}", keys=str(keys)) as process:
        yield LightServer(process.process, process.address.replace("0.0.0.0", "127.0.0.1"))


def keys_of_client(keys: Path, name: str) -> dict[str, str]:
    public, secret = read_key_file(keys / "clients" / f"{name}.key_secret")
    return {"public_key": public, "secret_key": secret}


def keys_of(keys: Path, name: str = "anna") -> dict[str, str]:
    return {"server_key": read_key_file(keys / "server.key")[0], **keys_of_client(keys, name)}


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "localhost", "LOCALHOST", "::1", "0:0:0:0:0:0:0:1"])
def test_this_machine_needs_no_keys(host):
    address = f"tcp://{f'[{host}]' if ':' in host else host}:47600"
    assert split_address(address) == (host.lower(), 47600) and is_loopback(host.lower())
    check_address(address, None)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.4", "*", "[::]", "studio-box"])
def test_any_other_address_asks_for_keys_and_says_how(host):
    with pytest.raises(UserError, match="python -m inference_server keys"):
        check_address(f"tcp://{host}:47600", None)
    check_address(f"tcp://{host}:47600", Path("keys"))


@pytest.mark.parametrize("address", ["", "127.0.0.1:47600", "tcp://127.0.0.1", "ipc://x", "tcp://127.0.0.1:0",
                                     "tcp://127.0.0.1:99999", "tcp://a:b:c"])  # fmt: skip
def test_an_address_that_is_none(address):
    with pytest.raises(UserError, match="is no address"):
        check_address(address, None)


def test_a_client_with_known_keys_is_let_in(guarded, keys):
    with connected(guarded.address, **keys_of(keys)) as client:
        assert client.status()["ready"]


@pytest.mark.parametrize("kind", ["none", "another client", "another server"])
def test_everybody_else_is_not(guarded, keys, kind):
    wanted = keys_of(keys)
    public, secret = (key.decode() for key in zmq.curve_keypair())
    if kind == "another server":
        wanted["server_key"] = public
    elif kind == "another client":
        wanted |= {"public_key": public, "secret_key": secret}
    client = Client(guarded.address, **({} if kind == "none" else wanted))
    for _ in range(60):
        client.poll(20)
    assert client.state is ConnectionState.CONNECTING
    if kind == "another client":
        assert "don't accept each other's keys" in client.state_text
    client.close()


def test_clients_are_let_in_and_shut_out_while_the_server_runs(guarded, keys):
    make_keys(keys, "bert")
    with connected(guarded.address, **keys_of(keys, "bert")):
        pass
    bert = keys_of(keys, "bert")
    (keys / "clients" / "bert.key").unlink()
    client = Client(guarded.address, **bert)
    for _ in range(100):
        client.poll(20)
    assert client.state is not ConnectionState.CONNECTED
    client.close()


def test_a_key_that_is_exchanged_in_place_shuts_the_old_one_out(guarded, keys):
    make_keys(keys, "emma")
    old, file = keys_of(keys, "emma"), keys / "clients" / "emma.key"
    with connected(guarded.address, **old):
        pass
    with tempfile.TemporaryDirectory() as elsewhere:
        make_keys(Path(elsewhere), "emma")
        new = {**keys_of_client(Path(elsewhere), "emma"), "server_key": old["server_key"]}
        file.write_bytes((Path(elsewhere) / "clients" / "emma.key").read_bytes())
    with connected(guarded.address, **new):
        pass
    client = Client(guarded.address, **old)
    for _ in range(100):
        client.poll(20)
    assert client.state is not ConnectionState.CONNECTED
    client.close()


def test_a_mistake_of_the_service_costs_one_request_or_connection_and_is_logged(keys, tmp_path):
    fault, log = tmp_path / "fault", tmp_path / "server.log"
    with (
        server(keys=str(keys), mistakes=str(fault), log_file=str(log)) as process,
        connected(process.address, **keys_of(keys)) as client,
    ):
        fault.touch()
        with pytest.raises(RequestError, match="its log tells more under") as caught:
            client.status()
        assert caught.value.code is ErrorCode.INTERNAL
        refused = Client(process.address, **keys_of(keys))
        deadline = time.monotonic() + 5
        while "don't accept each other's keys" not in refused.state_text:
            assert time.monotonic() < deadline, refused.state_text
            refused.poll(20)
        refused.close()
        fault.unlink()
        assert client.status()["counts"] == {"internal": 1}
        with connected(process.address, **keys_of(keys)):
            pass
    traces = [line["trace"] for line in map(json.loads, log.read_text().splitlines()) if "trace" in line]
    assert len(traces) == 2 and str(caught.value).rpartition(" ")[2].strip(".") in traces[0]
    assert all("ZeroDivisionError" in trace and "1.2345" not in trace for trace in traces)


DAMAGED = {
    "half": "half a cop",
    "another alphabet": 'curve\n    public-key = "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{h_~"\n',
    "beyond 32 bits": f'curve\n    public-key = "{"#" * 40}"\n',
    "no =": 'curve\n    public-key "abc"\n',
    "too short": 'curve\n    public-key = "Yne@$"\n',
    "no ASCII": f'curve\n    public-key = "{"é" * 20}"\n',
}


@pytest.mark.parametrize("damage", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_key_file_changes_nothing_for_the_others(guarded, keys, damage):
    make_keys(keys, "carl")
    make_keys(keys, "dora")
    carl, dora = keys_of(keys, "carl"), keys_of(keys, "dora")
    (keys / "clients" / "half.key").write_text(damage, encoding="utf-8")
    (keys / "clients" / "carl.key").unlink()
    with connected(guarded.address, **dora):
        pass
    client = Client(guarded.address, **carl)
    deadline = time.monotonic() + 5
    while "don't accept each other's keys" not in client.state_text:
        assert time.monotonic() < deadline, client.state_text
        client.poll(20)
    client.close()
    (keys / "clients" / "carl.key_secret").unlink()


@pytest.mark.parametrize("damage", list(DAMAGED.values())[1:], ids=list(DAMAGED)[1:])
def test_a_file_with_a_damaged_key_is_no_key_file(tmp_path, damage):
    file, _ = make_keys(tmp_path, "server")
    whole = f'curve\n    public-key = "{read_key_file(file)[0]}"\n'
    for text in (damage, whole + damage.replace("public", "secret")):
        file.write_text(text, encoding="utf-8")
        with pytest.raises(UserError, match="is no key file"):
            read_key_file(file)


def test_keys_are_made_once_and_secrets_are_the_owners_alone(tmp_path):
    file, is_new = make_keys(tmp_path, "server")
    before = file.read_text()
    assert is_new and make_keys(tmp_path, "server") == (file, False) and file.read_text() == before
    if sys.platform != "win32":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "x" * 65])
def test_names_that_are_no_file_names(tmp_path, name):
    with pytest.raises(UserError, match="can't name a key"):
        make_keys(tmp_path, name)


def test_key_files_that_are_none(tmp_path):
    with pytest.raises(UserError, match="can't be read"):
        read_key_file(tmp_path / "missing.key")
    (tmp_path / "bad.key").write_text("hello")
    with pytest.raises(UserError, match="is no key file"):
        read_key_file(tmp_path / "bad.key")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="can't be written"):
        make_keys(tmp_path / "file" / "keys", "server")


@pytest.fixture
def nobody() -> Iterator[None]:
    """Root may read everything, so root tests what nobody may."""
    if not hasattr(os, "geteuid"):
        pytest.skip("this system has other permissions than POSIX")
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    yield
    os.seteuid(user)


def test_key_files_that_may_not_be_read_or_written(nobody):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        secret_file, _ = make_keys(folder, "server")
        secret_file.chmod(0)
        with pytest.raises(UserError, match="can't be read .*who may read it"):
            read_key_file(secret_file)
        (folder / "clients").mkdir()
        (folder / "clients").chmod(0o500)
        with pytest.raises(UserError, match="can't be written in .*choose another folder"):
            make_keys(folder, "anna")
        (folder / "clients").chmod(0o700)


def test_a_server_without_clients_to_let_in_does_not_start(tmp_path):
    from inference_server.service.loop import Service
    from inference_server.service.settings import Settings

    make_keys(tmp_path, "server")
    (tmp_path / "clients").mkdir()
    (tmp_path / "clients" / "bob.key").write_text(DAMAGED["another alphabet"])
    with pytest.raises(UserError, match="No client is let in"):
        Service(Settings(f"tcp://127.0.0.1:{free_port()}", keys=tmp_path))
    with pytest.raises(UserError, match="can't be read"):
        Service(Settings(f"tcp://127.0.0.1:{free_port()}", keys=tmp_path / "nowhere"))
