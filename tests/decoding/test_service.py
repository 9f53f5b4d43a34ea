"""Edge and cloud over loopback: the same text as in one process, and no fault that shows in it."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
import torch

from edgebook.decoding import Draws, Sampling, autoregressive, trace
from edgebook.decoding.service import DecodingServer, EdgeClient, ServiceError
from edgebook.decoding.service.server import Limits
from edgebook.decoding.service.wire import OpenReply, OutcomeMessage, decode, pack

pytestmark = pytest.mark.alone

NEW = 24


@pytest.fixture(scope="module")
def pair(table: Any) -> tuple[Any, Any]:
    target = table(8, 1, exits=2)
    return target, table(8, 2, near=target)


@pytest.fixture
def server(pair: tuple[Any, Any]) -> Iterator[DecodingServer]:
    with DecodingServer(pair[0]) as found:
        yield found


def address(server: DecodingServer) -> str:
    return f"127.0.0.1:{server.port}"


def patient(where: DecodingServer | str, **options: Any) -> EdgeClient:
    """A client that a busy machine does not make give up, neither in asking nor in closing its sessions."""
    client = EdgeClient(where if isinstance(where, str) else address(where), **{"patience": 300.0} | options)
    close = client._close
    client._close = lambda data, **named: close(data, **named | {"timeout": 300.0})
    return client


def come_back(pair: tuple[Any, Any], port: int) -> DecodingServer:
    """A server at the address of one that has just stopped, as soon as the system has let go of it."""
    until = time.monotonic() + 120
    while True:
        try:
            found = DecodingServer(pair[0], f"127.0.0.1:{port}")
        except ValueError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
        else:
            found.start()
            return found


def right(pair: tuple[Any, Any], seed: int, sampling: Sampling | None = None) -> list[int]:
    options = {"max_new_tokens": NEW, "drafted": 3, "sampling": sampling, "draws": Draws(seed), "ahead": "none"}
    return trace(*pair, [0, 1], **options).tokens


def test_a_text_ends_where_the_target_of_the_server_says(table: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    target, draft = table(8, 1, exits=2), table(8, 2)
    whole = right((target, draft), 4)
    last = next(token for token in whole[3:] if token not in whole[:3])
    monkeypatch.setattr(target, "stop", (last,), raising=False)
    monkeypatch.setattr(draft, "stop", (whole[0],), raising=False)  # the draft's own wishes are not the text's
    with DecodingServer(target) as server, patient(server) as client:
        for stop, expected in ((None, whole[: whole.index(last) + 1]), ((), whole), ([whole[1]], whole[:2])):
            report = client.generate(draft, [0, 1], max_new_tokens=NEW, drafted=3, seed=4, stop=stop)
            assert report.tokens == expected


class Proxy:
    """A line between client and server that can be cut."""

    def __init__(self, port: int) -> None:
        self._to, self._ends = port, []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._to))
                self._ends += [near, far]
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._pump, args=(one, other), daemon=True).start()

    def _pump(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)
        for end in (one, other):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        """Break all connections that there are; new ones may be made."""
        ends, self._ends = self._ends, []
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def close(self) -> None:
        self._listener.close()
        self.cut()


@pytest.mark.parametrize("sampling", [Sampling(0.0), Sampling(), Sampling(0.9, 5, 0.9)])
def test_text_across_the_wire_is_that_of_one_process(
    pair: tuple[Any, Any], server: DecodingServer, sampling: Sampling
) -> None:
    with patient(server) as client:
        for seed in range(3):
            for ahead in ("none", "exits"):
                shown: list[int] = []
                found = client.generate(
                    pair[1], [0, 1], max_new_tokens=NEW, drafted=3, sampling=sampling, seed=seed, ahead=ahead,
                    show=shown.extend,
                )  # fmt: skip
                assert found.tokens == shown == right(pair, seed, sampling)
                assert (found.resumed, ahead == "exits" or found.hits == 0) == (0, True)
    assert server.sessions == 0


def test_greedy_text_across_the_wire_is_the_targets_own_on_two_hundred_prompts(
    pair: tuple[Any, Any], server: DecodingServer
) -> None:
    greedy = Sampling(0.0)
    with patient(server) as client:
        for number in range(200):
            prompt = [number % 8, number // 8 % 8, number // 64]
            found = client.generate(pair[1], prompt, max_new_tokens=8, drafted=3, sampling=greedy)
            assert found.tokens == autoregressive(pair[0], prompt, max_new_tokens=8, sampling=greedy)


def test_hits_are_those_of_the_trace(pair: tuple[Any, Any]) -> None:
    """With time between the exits and the end of a pass, drafts are begun ahead just where the trace says so."""
    with DecodingServer(pair[0], pass_seconds=0.06, shares=(0.3, 0.6)) as server, patient(server) as client:
        found = client.generate(pair[1], [0, 1], max_new_tokens=NEW, drafted=3)
    rounds = trace(*pair, [0, 1], max_new_tokens=NEW, drafted=3).rounds
    assert found.hits == sum(step.hit for step in rounds[:-1]) > 0
    assert found.rounds == len(rounds)


class Cutting:
    """A target that has the line cut in the middle of its first passes, when an exit has spoken."""

    def __init__(self, model: Any, times: int) -> None:
        self.model, self.left, self.proxy = model, times, None
        self.vocabulary, self.longest = model.vocabulary, model.longest

    def session(self) -> Any:
        found = self.model.session()
        stages = found.stages

        def cut(tokens: list[int], rows: int) -> Iterator[Any]:
            for number, logits in enumerate(stages(tokens, rows)):
                yield logits
                if number == 0 and self.left:
                    self.left -= 1
                    self.proxy.cut()

        found.stages = cut
        return found


def test_a_line_that_breaks_in_the_middle_of_a_round_changes_nothing(pair: tuple[Any, Any]) -> None:
    shown: list[int] = []
    cutting = Cutting(pair[0], 3)
    with DecodingServer(cutting) as server:
        cutting.proxy = Proxy(server.port)
        with patient(f"127.0.0.1:{cutting.proxy.port}") as client:
            found = client.generate(pair[1], [0, 1], max_new_tokens=NEW, drafted=3, show=shown.extend)
        cutting.proxy.close()
    assert found.tokens == shown == right(pair, 0)
    assert (cutting.left, found.resumed >= 3) == (0, True)


def test_a_server_that_dies_and_comes_back(pair: tuple[Any, Any]) -> None:
    first = DecodingServer(pair[0])
    first.start()
    servers, shown = [first], []

    def show(tokens: list[int]) -> None:
        shown.extend(tokens)
        if len(servers) < 3:
            servers[-1].stop()
            servers.append(come_back(pair, first.port))

    with patient(first) as client:
        found = client.generate(pair[1], [0, 1], max_new_tokens=NEW, drafted=3, show=show)
    servers[-1].stop()
    assert found.tokens == shown == right(pair, 0)
    assert found.resumed >= 2


def test_a_server_that_stays_away_ends_in_one_sentence(pair: tuple[Any, Any], server: DecodingServer) -> None:
    shown: list[int] = []

    def show(tokens: list[int]) -> None:
        shown.extend(tokens)
        server.stop()
        client.patience = 0.3

    with (
        patient(server) as client,
        pytest.raises(ServiceError, match=r"has given no answer for 0.3 s .*of 24 tokens are verified\.$"),
    ):
        client.generate(pair[1], [0, 1], max_new_tokens=NEW, drafted=3, show=show)
    assert shown and shown == right(pair, 0)[: len(shown)]


class Raw:
    """Requests by hand."""

    def __init__(self, where: str, token: str | None = None) -> None:
        self.channel = grpc.insecure_channel(where)
        self.metadata = (("authorization", f"Bearer {token}"),) if token else ()

    def open(self, **change: Any) -> str:
        fields = {"prompt": [0, 1], "seed": 0, "temperature": 0.0, "top_k": None, "top_p": 1.0}
        data = json.dumps(fields | change).encode()
        call = self.channel.unary_unary("/edgebook.Decoding/Open")
        return decode(OpenReply, call(data, metadata=self.metadata, timeout=300)).session

    def verify(self, session: str, **change: Any) -> list[OutcomeMessage]:
        fields = {"session": session, "position": 2, "tokens": [1, 2], "distributions": None, "exits": True,
                  "threshold": 0.0}  # fmt: skip
        data = json.dumps(fields | change).encode()
        return self.send(data)

    def send(self, data: bytes) -> list[OutcomeMessage]:
        call = self.channel.unary_stream("/edgebook.Decoding/Verify")
        return [decode(OutcomeMessage, answer) for answer in call(data, metadata=self.metadata, timeout=300)]


@pytest.fixture
def raw(server: DecodingServer) -> Iterator[Raw]:
    found = Raw(address(server))
    yield found
    found.channel.close()


def refused(call: Any) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value.code().name, caught.value.details()


def test_a_message_that_comes_twice_gets_the_same_answer(raw: Raw) -> None:
    session = raw.open(temperature=1.0)
    rows = pack(torch.full((2, 8), 0.125))
    first = raw.verify(session, distributions=rows)
    for _ in range(3):
        assert raw.verify(session, distributions=rows) == [first[-1]]
    length = 2 + first[-1].accepted + 1
    following = raw.verify(session, position=length, distributions=rows)
    assert following[-1].final and following[-1].position == length


def test_a_late_message_is_refused_and_harms_nothing(raw: Raw) -> None:
    session = raw.open()
    first = raw.verify(session)[-1]
    length = 2 + first.accepted + 1
    second = raw.verify(session, position=length, tokens=[3])[-1]
    code, said = refused(lambda: raw.verify(session))
    assert code == "FAILED_PRECONDITION" and "the draft begins after 2" in said
    third = raw.verify(session, position=length + second.accepted + 1, tokens=[])[-1]
    assert third.final and third.accepted == 0


def test_unknown_and_expired_sessions(pair: tuple[Any, Any], raw: Raw) -> None:
    assert refused(lambda: raw.verify("0" * 32))[0] == "NOT_FOUND"
    with DecodingServer(pair[0], limits=Limits(sessions=2)) as server:
        other = Raw(address(server))
        first, second = other.open(), other.open()
        assert refused(other.open)[0] == "RESOURCE_EXHAUSTED"
        assert other.verify(first)[-1].final and other.verify(second)[-1].final
        other.channel.close()
    with DecodingServer(pair[0], limits=Limits(idle_seconds=0.4)) as server:
        other = Raw(address(server))
        session = other.open()
        until = time.monotonic() + 300
        while server.sessions and time.monotonic() < until:
            time.sleep(0.05)
        assert refused(lambda: other.verify(session))[0] == "NOT_FOUND"
        assert other.open()
        other.channel.close()


def test_an_expired_session_is_opened_anew(pair: tuple[Any, Any]) -> None:
    shown: list[int] = []

    def show(tokens: list[int]) -> None:
        shown.extend(tokens)
        if len(shown) < 8:
            server._sessions.clear()

    with DecodingServer(pair[0]) as server, patient(server) as client:
        found = client.generate(pair[1], [0, 1], max_new_tokens=NEW, drafted=3, show=show)
    assert found.tokens == right(pair, 0) and found.resumed > 0


def test_a_wrong_token_is_refused(pair: tuple[Any, Any]) -> None:
    with DecodingServer(pair[0], token="s3cret") as server:
        for token in (None, "wrong"):
            with (
                patient(server, token=token) as client,
                pytest.raises(ServiceError, match="token is missing"),
            ):
                client.generate(pair[1], [0, 1], max_new_tokens=4)
        stranger = Raw(address(server), "wrong")
        assert refused(lambda: stranger.verify("0" * 32))[0] == "UNAUTHENTICATED"
        stranger.channel.close()
        with patient(server, token="s3cret") as client:
            found = client.generate(pair[1], [0, 1], max_new_tokens=NEW, drafted=3)
    assert found.tokens == right(pair, 0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"tokens": [1, 8]}, "between 0 and 7"),
        ({"tokens": [1] * 65}, "at most 64"),
        ({"tokens": [-1]}, "greater than or equal to 0"),
        ({"tokens": ["1"]}, "valid integer"),
        ({"threshold": "high"}, "valid number"),
        ({"session": "../../x"}, "match pattern"),
    ],
)
def test_requests_that_are_not_valid_are_refused(raw: Raw, change: dict[str, Any], words: str) -> None:
    session = raw.open()
    code, said = refused(lambda: raw.verify(**{"session": session} | change))
    assert code == "INVALID_ARGUMENT" and words in said
    assert raw.verify(session)[-1].final


def test_opening_is_checked_too(raw: Raw) -> None:
    for change, words in [
        ({"prompt": []}, "at least 1 item"), ({"prompt": [9]}, "from 0 to 7"), ({"temperature": -1.0}, "greater than"),
        ({"prompt": [0] * 10_000}, "10000 together"), ({"seed": -1}, "greater than"), ({"extra": 1}, "Extra inputs"),
    ]:  # fmt: skip
        code, said = refused(lambda change=change: raw.open(**change))
        assert code == "INVALID_ARGUMENT" and words in said


@pytest.mark.parametrize("data", [b"", b"\x80\x04N.", b"{}", b"[" * 5000, b'{"session": NaN}'])
def test_bytes_that_are_no_message_are_refused(raw: Raw, data: bytes) -> None:
    assert refused(lambda: raw.send(data))[0] == "INVALID_ARGUMENT"
    assert raw.verify(raw.open())[-1].final


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (None, "Sampling needs"), ("?", "no base64"), ("AAAA", "have 64 bytes, got 3"),
        (pack(torch.full((2, 8), 0.5)), "must be probabilities"),
        (pack(torch.eye(8)[:2]), "more than 0 for each token"),
        (pack(torch.full((2, 8), float("nan"))), "must be probabilities"),
    ],
)  # fmt: skip
def test_distributions_are_checked(raw: Raw, rows: str | None, words: str) -> None:
    session = raw.open(temperature=1.0)
    code, said = refused(lambda: raw.verify(session, distributions=rows, tokens=[3, 4]))
    assert code == "INVALID_ARGUMENT" and words in said


def test_an_oversized_request_is_refused_and_the_server_lives(pair: tuple[Any, Any]) -> None:
    with DecodingServer(pair[0], limits=Limits(message_bytes=2000)) as server:
        small = Raw(address(server))
        session = small.open()
        assert refused(lambda: small.verify(session, distributions="A" * 5000))[0] == "RESOURCE_EXHAUSTED"
        assert small.verify(session)[-1].final
        small.channel.close()


def test_two_hundred_sessions_at_once_without_a_loss(pair: tuple[Any, Any], server: DecodingServer) -> None:
    expected = {seed: right(pair, seed)[:6] for seed in range(200)}
    barrier = threading.Barrier(200, timeout=600)

    def one(seed: int) -> list[int]:
        def show(_: list[int]) -> None:
            if not met:
                met.append(True)
                barrier.wait()  # nobody goes on before all sessions have been opened

        met: list[bool] = []
        with patient(server) as client:
            return client.generate(
                pair[1], [0, 1], max_new_tokens=NEW, drafted=3, seed=seed, ahead="none", show=show
            ).tokens[:6]

    with ThreadPoolExecutor(200) as pool:
        found = dict(zip(range(200), pool.map(one, range(200)), strict=True))
    assert found == expected
    assert server.sessions == 0


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate of this test")
    folder = tmp_path_factory.mktemp("tls")
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-keyout", "key.pem", "-out", "certificate.pem"],
        cwd=folder, capture_output=True, text=True,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    return folder / "certificate.pem", folder / "key.pem"


def test_tls(pair: tuple[Any, Any], certificate: tuple[Path, Path]) -> None:
    proof, key = (path.read_bytes() for path in certificate)
    with DecodingServer(pair[0], token="t", certificate=proof, key=key) as server:
        with patient(server, token="t", certificate=proof) as client:
            assert client.generate(pair[1], [0, 1], max_new_tokens=NEW, drafted=3).tokens == right(pair, 0)
        with (
            EdgeClient(address(server), token="t", patience=0.3) as plain,
            pytest.raises(ServiceError, match="no answer"),
        ):
            plain.generate(pair[1], [0, 1], max_new_tokens=NEW)


def test_what_a_server_and_a_client_do_not_begin(pair: tuple[Any, Any], table: Any, server: DecodingServer) -> None:
    for options, words in [
        ({"address": "0.0.0.0:0"}, "Beyond loopback TLS and a token"),
        ({"certificate": b"x"}, "both a certificate and its key"),
        ({"address": f"127.0.0.1:{server.port}"}, "cannot be had"),
    ]:
        with pytest.raises(ValueError, match=words):
            DecodingServer(pair[0], **options)
    with patient(server) as client:
        with pytest.raises(ServiceError, match="target has 8 tokens"):
            client.generate(table(7, 0), [0], max_new_tokens=4)
        with pytest.raises(ValueError, match="at most 64"):
            client.generate(pair[1], [0], max_new_tokens=4, drafted=65)
