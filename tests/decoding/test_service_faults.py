"""What raises, restarts, stays silent or lies: no wrong token is shown, and nobody is waited for in vain."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
import torch

from edgebook.decoding import Draws, Sampling, trace
from edgebook.decoding.service import DecodingServer, Delay, EdgeClient, ServiceError
from edgebook.decoding.service.server import Limits

pytestmark = pytest.mark.alone

NEW = 20
GREEDY = {"max_new_tokens": NEW, "drafted": 3, "sampling": Sampling(0.0)}


def address(server: DecodingServer | int) -> str:
    return f"127.0.0.1:{server if isinstance(server, int) else server.port}"


def ended(call: Callable[[], Any], seconds: float = 120.0) -> Any:
    """What a call gives or raises, within a time that is for a busy machine; one that never ends is a failure."""
    found: list[Any] = []

    def run() -> None:
        try:
            found.append(call())
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    assert found, "it never ends"
    return found[0]


class Counting:
    """A target whose logits depend on the place as well as on the token, so that a cache with one token too many shows.

    Its cache grows before a pass may fail, and its length after it, as in a pass that fails between two layers.
    """

    vocabulary, longest = 8, 200

    def __init__(self, fails: Callable[[int], Exception | None] = lambda _: None) -> None:
        self.table = torch.randn(7, 8, 8, generator=torch.Generator().manual_seed(0))
        self.fails, self.passes = fails, 0

    def session(self) -> CountingSession:
        return CountingSession(self)

    def greedy(self, prompt: list[int], count: int) -> list[int]:
        """The text by its definition."""
        text = list(prompt)
        for _ in range(count):
            text.append(int(self.table[(len(text) - 1) % 7, text[-1]].argmax()))
        return text[len(prompt) :]


class CountingSession:
    exits = 1

    def __init__(self, model: Counting) -> None:
        self.model, self.cache, self.length = model, [], 0

    def crop(self, length: int) -> None:
        if length < self.length:
            del self.cache[length - self.length :]
        self.length = length

    def extend(self, tokens: list[int], rows: int) -> torch.Tensor:
        return list(self.stages(tokens, rows))[-1]

    def stages(self, tokens: list[int], rows: int) -> Iterator[torch.Tensor]:
        self.cache += tokens
        ends = range(len(self.cache) - rows, len(self.cache))
        logits = torch.stack([self.model.table[end % 7, self.cache[end]] for end in ends])
        yield logits
        self.model.passes += 1
        if error := self.model.fails(self.model.passes):
            raise error
        self.length += len(tokens)
        yield logits


@pytest.fixture(scope="module")
def pair(table: Any) -> tuple[Any, Any]:
    target = table(8, 1, exits=2)
    return target, table(8, 2, near=target)


def right(pair: tuple[Any, Any]) -> list[int]:
    return trace(*pair, [0, 1], ahead="none", draws=Draws(0), **GREEDY).tokens


# What raises


@pytest.mark.parametrize("ahead", ["none", "exits"])
def test_a_pass_that_fails_is_made_again_from_the_text(table: Any, ahead: str) -> None:
    target = Counting(lambda number: RuntimeError("out of memory") if number in (1, 3, 4) else None)
    with DecodingServer(target) as server, EdgeClient(address(server), patience=300.0) as client:
        found = client.generate(table(8, 2), [1, 2], ahead=ahead, **GREEDY)
    assert found.tokens == target.greedy([1, 2], NEW)
    assert found.resumed == 3


def test_a_pass_that_is_left_is_made_again_from_the_text(table: Any) -> None:
    target = Counting()
    with DecodingServer(target, pass_seconds=0.3, shares=(0.1,)) as server:
        with grpc.insecure_channel(address(server)) as channel:
            fields = {"prompt": [1, 2], "seed": 0, "temperature": 0.0, "top_k": None, "top_p": 1.0}
            opened = channel.unary_unary("/edgebook.Decoding/Open")(json.dumps(fields).encode(), timeout=120)
            fields = {"session": json.loads(opened)["session"], "position": 2, "tokens": [3, 3, 3],
                      "distributions": None, "exits": True, "threshold": 0.0}  # fmt: skip
            verify = channel.unary_stream("/edgebook.Decoding/Verify")
            for _ in range(3):
                call = verify(json.dumps(fields).encode(), timeout=120)
                next(call)
                call.cancel()
            *_, final = (json.loads(data) for data in verify(json.dumps(fields).encode(), timeout=120))
        accepted = final["accepted"]
        assert [*fields["tokens"][:accepted], final["token"]] == target.greedy([1, 2], accepted + 1)


def test_a_pass_that_can_never_succeed_is_not_asked_for_again(table: Any) -> None:
    target = Counting(lambda _: ValueError("There are NaN."))
    with (
        DecodingServer(target) as server,
        EdgeClient(address(server), patience=300.0) as client,
        pytest.raises(ServiceError, match=r"refuses: There are NaN\.$"),
    ):
        client.generate(table(8, 2), [1, 2], **GREEDY)
    assert target.passes == 1


def test_a_thread_that_raises_ends_the_wait(pair: tuple[Any, Any]) -> None:
    with DecodingServer(pair[0]) as server, EdgeClient(address(server)) as client:
        client._verify = lambda *_, **__: 1 / 0
        assert isinstance(ended(lambda: client.generate(pair[1], [0, 1], **GREEDY)), ZeroDivisionError)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -1.0, -0.001, 1e300, "5", None])
def test_times_that_nobody_can_wait_for_are_refused(pair: tuple[Any, Any], number: Any) -> None:
    for make in (
        lambda: EdgeClient("127.0.0.1:9", patience=number), lambda: EdgeClient("127.0.0.1:9", deadline=number),
        lambda: Delay(up=number), lambda: Delay(down=number), lambda: Delay(draft_step=number),
        lambda: DecodingServer(pair[0], pass_seconds=number), lambda: Limits(idle_seconds=number),
        lambda: Limits(sessions=number), lambda: Limits(message_bytes=number),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"^\w+ must be .*, got .*\.$"):
            make()


@pytest.mark.parametrize("options", [{"seed": -1}, {"seed": 2**63}, {"seed": 0.5}, {"threshold": float("nan")},
                                     {"threshold": 3.0}, {"sampling": Sampling(1e7)}])  # fmt: skip
def test_numbers_of_a_text_are_refused_before_a_server_is_asked(pair: tuple[Any, Any], options: Any) -> None:
    with EdgeClient("127.0.0.1:9") as client, pytest.raises(ValueError, match=r"^[^\n]*\.$"):
        client.generate(pair[1], [0, 1], max_new_tokens=4, **options)


# What lies


@contextmanager
def lying(opened: Any, answers: Callable[[dict[str, Any]], list[Any]]) -> Iterator[tuple[int, list[str]]]:
    """A server of its own making; what is an error is its status. Yields its port and the calls that it has got."""
    calls: list[str] = []

    def say(answer: Any, context: grpc.ServicerContext) -> bytes:
        if isinstance(answer, grpc.StatusCode):
            context.abort(answer, "As it says.")
        return answer if isinstance(answer, bytes) else json.dumps(answer).encode()

    def begin(data: bytes, context: grpc.ServicerContext) -> bytes:
        calls.append("Open")
        return say(opened(len(calls)) if callable(opened) else opened, context)

    def verify(data: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        calls.append("Verify")
        for answer in answers(json.loads(data)):
            yield say(answer, context)

    handlers = {
        "Open": grpc.unary_unary_rpc_method_handler(begin),
        "Verify": grpc.unary_stream_rpc_method_handler(verify),
    }
    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("edgebook.Decoding", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port, calls
    finally:
        server.stop(None).wait()


OPENED = {"session": "0" * 32, "vocabulary": 8, "longest": 100}


def outcome(request: dict[str, Any], **change: Any) -> dict[str, Any]:
    fields = {"position": request["position"], "exit": 1, "final": True, "accepted": 1, "token": 3, "confidence": 1.0}
    return fields | change


@pytest.mark.parametrize(
    "change",
    [
        {"accepted": 4}, {"accepted": -1}, {"token": 8}, {"token": -1}, {"position": 3}, {"session": "1" * 32},
        {"token": 1.5}, {"final": "yes"}, {"more": 1},
    ],
)  # fmt: skip
def test_outcomes_that_cannot_be_of_this_round_are_refused_at_once(pair: tuple[Any, Any], change: Any) -> None:
    shown: list[int] = []
    with (
        lying(OPENED, lambda request: [outcome(request, **change)]) as (port, calls),
        EdgeClient(address(port), patience=300.0) as client,
        pytest.raises(ServiceError, match=r"^The server [^\n]*\.$"),
    ):
        client.generate(pair[1], [0, 1], show=shown.extend, **GREEDY)
    assert (shown, calls) == ([], ["Open", "Verify"])


@pytest.mark.parametrize("answer", [b"", b"{}", b"\xff\x00", b'{"position": 2, "exit": 0, "fin'])
def test_answers_that_are_none_are_refused_at_once(pair: tuple[Any, Any], answer: bytes) -> None:
    for opened in (answer, OPENED):
        with (
            lying(opened, lambda _: [answer]) as (port, calls),
            EdgeClient(address(port), patience=300.0) as client,
            pytest.raises(ServiceError, match=r"gives no answer that can be read: [^\n]*\.$"),
        ):
            client.generate(pair[1], [0, 1], **GREEDY)
        assert len(calls) == 1 + (opened is OPENED)


def test_a_round_without_an_end_and_outcomes_that_come_twice(pair: tuple[Any, Any]) -> None:
    def twice(request: dict[str, Any]) -> list[Any]:
        said = {"exit": 0, "final": False, "accepted": 0, "confidence": 0.5}
        return [outcome(request, **said)] * 3 + [outcome(request, accepted=0)] * 2

    with lying(OPENED, twice) as (port, _), EdgeClient(address(port), patience=300.0) as client:
        assert client.generate(pair[1], [0, 1], **GREEDY).tokens == [3] * NEW
    with (
        lying(OPENED, lambda request: twice(request)[:3]) as (port, calls),
        EdgeClient(address(port), patience=300.0) as client,
        pytest.raises(ServiceError, match="without a final outcome"),
    ):
        client.generate(pair[1], [0, 1], **GREEDY)
    assert calls == ["Open", "Verify"]


@pytest.mark.parametrize("code", ["PERMISSION_DENIED", "UNAUTHENTICATED", "UNIMPLEMENTED", "INVALID_ARGUMENT",
                                  "OUT_OF_RANGE", "DATA_LOSS", "RESOURCE_EXHAUSTED", "ALREADY_EXISTS"])  # fmt: skip
def test_what_waiting_cannot_mend_ends_at_once(pair: tuple[Any, Any], code: str) -> None:
    status = grpc.StatusCode[code]
    for opened, answers in ((status, []), (OPENED, [status])):
        with (
            lying(opened, lambda _, answers=answers: answers) as (port, calls),
            EdgeClient(address(port), patience=300.0) as client,
            pytest.raises(ServiceError, match=r"refuses: As it says\.$"),
        ):
            client.generate(pair[1], [0, 1], **GREEDY)
        assert len(calls) == 1 + bool(answers)


@pytest.mark.parametrize("code", ["UNAVAILABLE", "ABORTED", "INTERNAL", "UNKNOWN", "CANCELLED", "NOT_FOUND"])
def test_what_may_pass_is_asked_again(pair: tuple[Any, Any], code: str) -> None:
    left = [grpc.StatusCode[code]] * 2
    with (
        lying(lambda _: left.pop() if len(left) == 2 else OPENED,
              lambda request: [left.pop() if left else outcome(request, accepted=0)]) as (port, calls),
        EdgeClient(address(port), patience=300.0) as client,
    ):  # fmt: skip
        assert client.generate(pair[1], [0, 1], **GREEDY | {"max_new_tokens": 1}).tokens == [3]
    assert calls[:3] == ["Open", "Open", "Verify"] and calls[-1] == "Verify"


def test_a_full_server_is_asked_again_and_a_small_one_is_not(pair: tuple[Any, Any]) -> None:
    with DecodingServer(pair[0], limits=Limits(sessions=1)) as server, EdgeClient(address(server)) as client:
        held = threading.Event()

        def show(_: list[int]) -> None:
            if not held.is_set():
                held.set()
                waiting.append(ThreadPoolExecutor(1).submit(second.generate, pair[1], [0, 1], **GREEDY))
                while not full:
                    held.wait(0.01)

        waiting: list[Any] = []
        full: list[Any] = []
        with EdgeClient(address(server), patience=300.0) as second:
            opening = second._open

            def open_(*given: Any, **named: Any) -> bytes:
                try:
                    return opening(*given, **named)
                except grpc.RpcError as error:
                    full.append(error.code())
                    raise

            second._open = open_
            first = client.generate(pair[1], [0, 1], show=show, **GREEDY)
            found = waiting[0].result(300)
        assert first.tokens == found.tokens == right(pair) and found.resumed == len(full)
        assert set(full) == {grpc.StatusCode.RESOURCE_EXHAUSTED}
    with (
        DecodingServer(pair[0], limits=Limits(message_bytes=300)) as server,
        EdgeClient(address(server), patience=300.0) as client,
        pytest.raises(ServiceError, match=r"refuses: .*larger than max"),
    ):
        client.generate(pair[1], [0, 1], max_new_tokens=40, drafted=32)


@pytest.mark.parametrize("token", ["a\nb", "schl\u00fcssel", "\x00", "x" * 5000])
def test_a_token_that_no_header_can_carry_is_refused_before_it_is_sent(pair: tuple[Any, Any], token: str) -> None:
    with (
        EdgeClient("127.0.0.1:9", token=token, patience=300.0) as client,
        pytest.raises(ValueError, match="4096 printable") as refused,
    ):
        client.generate(pair[1], [0, 1], **GREEDY)
    assert token not in str(refused.value)


# Who is trusted


def made(folder: Path, name: str, names: str) -> tuple[bytes, bytes]:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}",
         "-addext", f"subjectAltName={names}", "-keyout", f"{name}.key", "-out", f"{name}.pem"],
        cwd=folder, capture_output=True, check=True,
    )  # fmt: skip
    return (folder / f"{name}.pem").read_bytes(), (folder / f"{name}.key").read_bytes()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[bytes, bytes]]:
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificates of this test")
    folder = tmp_path_factory.mktemp("tls")
    names = {"good": "IP:127.0.0.1", "other": "IP:127.0.0.1", "elsewhere": "DNS:elsewhere.example"}
    return {name: made(folder, name, names[name]) for name in names}


@pytest.mark.parametrize(
    ("server", "client", "words"),
    [
        ("good", "other", "self.signed certificate"), ("elsewhere", "elsewhere", "mismatch"),
        (None, "good", "handshake"), ("good", None, "no answer without TLS"),
        ("good", b"none", "none in PEM"), ("good", b"", "none in PEM"),
    ],
)  # fmt: skip
def test_a_server_that_cannot_be_trusted_is_refused_at_once_and_by_its_name(
    pair: tuple[Any, Any], certificates: Any, server: Any, client: Any, words: str
) -> None:
    proof, key = certificates[server] if server else (None, None)
    authority = certificates[client][0] if isinstance(client, str) else client
    with (
        DecodingServer(pair[0], certificate=proof, key=key) as found,
        EdgeClient(address(found), certificate=authority, patience=300.0) as edge,
        pytest.raises(ServiceError, match=f"cannot be trusted: .*{words}"),
    ):
        edge.generate(pair[1], [0, 1], **GREEDY)


def test_what_a_server_does_not_listen_with(pair: tuple[Any, Any], certificates: Any) -> None:
    proof, key = certificates["good"]
    tls = {"certificate": proof, "key": key}
    for options, words in [
        ({"token": ""}, "A token must"), ({"token": " \n\t"}, "A token must"), ({"token": b"t"}, "A token must"),
        ({"token": "", "address": "0.0.0.0:0"} | tls, "A token must"), ({"address": "0.0.0.0:0"} | tls, "Beyond"),
        ({"address": "[::]:0", "token": "t"}, "Beyond"), ({"address": "127.0.0.2:0", "token": "t"}, "Beyond"),
        ({"address": "127.0.0.1"}, "host:port"), ({"address": "127.0.0.1:"}, "host:port"),
        ({"address": "127.0.0.1:65536"}, "host:port"), ({"address": "127.0.0.1:-1"}, "host:port"),
        ({"address": ":0"}, "host:port"), ({"address": "127.0.0.1:http"}, "host:port"),
        ({"address": "::1:0"}, "host:port"), ({"address": "127.0.0.1,0.0.0.0:0"}, "host:port"),
        ({"address": "unix:127.0.0.1:0"}, "host:port"), ({"address": None}, "host:port"),
        ({"certificate": b"", "key": b""}, "both"), ({"certificate": proof, "key": b""}, "both"),
        ({"certificate": b"none", "key": b"none"}, "PEM"), ({"certificate": key, "key": proof}, "PEM"),
        ({"certificate": proof, "key": certificates["other"][1]}, "PEM"),
        ({"shares": (0.5,)}, "a share each"), ({"shares": (0.5, float("nan"))}, "a share each"),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=words):
            DecodingServer(pair[0], **options)
    for where in ("127.0.0.1:0", "127.0.0.1", "dns:///127.0.0.1:9", "", None):
        with pytest.raises(ValueError, match="host:port"):
            EdgeClient(where)
    with (
        EdgeClient("edge.example:9", token="t") as client,
        pytest.raises(ValueError, match="travels with TLS only"),
    ):
        client.generate(pair[1], [0, 1], **GREEDY)


def test_the_loopback_of_the_sixth_version(pair: tuple[Any, Any]) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no such loopback")
    with DecodingServer(pair[0], "[::1]:0") as server, EdgeClient(f"[::1]:{server.port}") as client:
        assert client.generate(pair[1], [0, 1], **GREEDY).tokens == right(pair)


# What is silent


def unending(stop: threading.Event) -> Iterator[bytes]:
    stop.wait()
    yield from ()


@pytest.mark.parametrize("token", [None, "secret"])
def test_requests_whose_bodies_never_end_keep_nobody_out(pair: tuple[Any, Any], token: str | None) -> None:
    stop = threading.Event()
    with DecodingServer(pair[0], token=token) as server:
        channels = [grpc.insecure_channel(address(server), options=[("grpc.use_local_subchannel_pool", 1)])
                    for _ in range(4)]  # fmt: skip
        calls = [channel.stream_unary(f"/edgebook.Decoding/{method}").future(unending(stop), timeout=300)
                 for channel in channels for method in ("Open", "Verify") for _ in range(15)]  # fmt: skip
        with EdgeClient(address(server), token=token, patience=300.0) as client:
            assert client.generate(pair[1], [0, 1], **GREEDY).tokens == right(pair)
        if token is not None:  # a stranger is told without a word of what it wanted to say
            assert {call.code() for call in calls} == {grpc.StatusCode.UNAUTHENTICATED}
        stop.set()
        for channel in channels:
            channel.close()


class Silence:
    """A line to a server; after `fall` the connections of that moment carry nothing more, and new ones work."""

    def __init__(self, port: int) -> None:
        self._to, self._muted, self._ends = port, [], []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port, self.made = self._listener.getsockname()[1], 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far, muted = socket.create_connection(("127.0.0.1", self._to)), threading.Event()
                self._ends += [near, far]
                self._muted.append(muted)
                self.made += 1
                for ends in ((near, far), (far, near)):
                    threading.Thread(target=self._pump, args=(*ends, muted), daemon=True).start()

    def _pump(self, one: socket.socket, other: socket.socket, muted: threading.Event) -> None:
        with suppress(OSError):
            while data := one.recv(65536):
                if not muted.is_set():
                    other.sendall(data)

    def fall(self) -> None:
        for muted in self._muted:
            muted.set()

    def close(self) -> None:
        self._listener.close()
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


def test_a_connection_that_falls_silent_costs_a_deadline_and_not_the_patience(pair: tuple[Any, Any]) -> None:
    shown: list[int] = []
    with DecodingServer(pair[0]) as server:
        line = Silence(server.port)

        def show(tokens: list[int]) -> None:
            shown.extend(tokens)
            if line.made == 1:
                line.fall()

        with EdgeClient(address(line.port), patience=300.0, deadline=3.0) as client:
            found = ended(lambda: client.generate(pair[1], [0, 1], show=show, **GREEDY), 100.0)
        line.close()
    assert found.tokens == shown == right(pair)
    assert line.made >= 2


def test_the_patience_begins_with_the_first_failure(pair: tuple[Any, Any]) -> None:
    """A deadline longer than it leaves time for another connection all the same."""
    with DecodingServer(pair[0]) as server:
        line = Silence(server.port)
        with EdgeClient(address(line.port), patience=1.0, deadline=3.0) as client:
            muted = threading.Event()

            def show(_: list[int]) -> None:
                if not muted.is_set():
                    muted.set()
                    line.fall()

            assert client.generate(pair[1], [0, 1], show=show, **GREEDY).tokens == right(pair)
        line.close()


def test_requests_for_one_session_take_turns_and_do_not_pile_up(pair: tuple[Any, Any]) -> None:
    with (
        DecodingServer(pair[0], pass_seconds=1.0, shares=(0.0, 0.0)) as server,
        grpc.insecure_channel(address(server)) as channel,
    ):
        fields = {"prompt": [0, 1], "seed": 0, "temperature": 0.0, "top_k": None, "top_p": 1.0}
        opened = channel.unary_unary("/edgebook.Decoding/Open")(json.dumps(fields).encode(), timeout=120)
        fields = {"session": json.loads(opened)["session"], "position": 2, "tokens": [1], "distributions": None,
                  "exits": False, "threshold": 0.0}  # fmt: skip
        calls = [channel.unary_stream("/edgebook.Decoding/Verify")(json.dumps(fields).encode(), timeout=120)
                 for _ in range(6)]  # fmt: skip
        said = []
        for call in calls:
            try:
                said += [data.decode() for data in call]
            except grpc.RpcError as error:
                said.append(error.code().name)
    assert said.count("ABORTED") == 4 and len(set(said)) == 2


# Who it is


def test_a_server_that_comes_back_with_another_target_is_refused(pair: tuple[Any, Any], table: Any) -> None:
    servers, shown = [DecodingServer(pair[0])], []
    servers[0].start()

    def show(tokens: list[int]) -> None:
        shown.extend(tokens)
        if len(servers) == 1:
            servers[0].stop()
            for _ in range(1000):
                with suppress(ValueError):
                    servers.append(DecodingServer(table(8, 5, exits=2), address(servers[0])))
                    break
                threading.Event().wait(0.05)
            servers[1].start()

    with (
        EdgeClient(address(servers[0]), patience=300.0) as client,
        pytest.raises(ServiceError, match="has another target than the one that the text was begun with"),
    ):
        client.generate(pair[1], [0, 1], show=show, **GREEDY)
    servers[-1].stop()
    assert shown and shown == right(pair)[: len(shown)]


def test_a_draft_with_other_symbols_is_refused(pair: tuple[Any, Any]) -> None:
    with DecodingServer(pair[0], symbols="abcdefgh") as server, EdgeClient(address(server)) as client:
        for symbols in (None, "abcdefgh"):
            assert client.generate(pair[1], [0, 1], symbols=symbols, **GREEDY).tokens == right(pair)
        with pytest.raises(ServiceError, match="stand for other symbols"):
            client.generate(pair[1], [0, 1], symbols="hgfedcba", **GREEDY)
