"""Bad input: each gets its answer, none ends the process or fills its memory, and good traffic is unharmed meanwhile."""

import asyncio
import json
import os
import random
import socket
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.appliance import WRITE_KEY, Appliance, webhook
from tests.support.hostile import GOOD, Case, cases, random_request
from tests.support.judge import Ledger, delays_s, drained, judge
from tests.support.load import Client, crowd, percentile, under_load
from tests.support.sink import Sink
from tests.support.wire import Reply, Wire, basic

MEMORY_BYTES_MAX = 50 << 20
FUZZ_S = float(os.environ.get("STERNPOST_FUZZ_S", "10"))
CASES = cases()


@pytest.fixture(scope="module")
def living(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Appliance, Sink]]:
    """One process for the whole table: what one case breaks, the next ones notice."""
    folder: Path = tmp_path_factory.mktemp("bad_input")
    sink = Sink(folder, bodies=True).start()
    appliance = Appliance(folder / "appliance", {"destinations": {"hook": webhook(sink.url)}})
    try:
        appliance.start()
        yield appliance, sink
    finally:
        appliance.close()
        sink.stop()


def send(appliance: Appliance, case: Case) -> Reply:
    """Send one case on a connection of its own; a refusal may come before the body was read."""
    headers = {**basic(WRITE_KEY), **case.headers}
    with Wire(appliance.port, timeout_s=20.0) as wire:
        try:
            return wire.request("POST", case.path, case.body, {name: value for name, value in headers.items() if value})
        except (BrokenPipeError, ConnectionResetError):
            answer = wire.connection.sock.recv(65_536).decode(errors="replace")
            head, _, text = answer.partition("\r\n\r\n")
            return Reply(int(head.split(" ", 2)[1]), {}, text)


@pytest.mark.parametrize("name", CASES)
def test_every_named_case_gets_its_answer(living: tuple[Appliance, Sink], name: str) -> None:
    (appliance, sink), case = living, CASES[name]
    mark = str(zlib.crc32(name.encode()))
    unique = case._replace(
        body=case.body.replace(b'"case"', f'"{mark}"'.encode()).replace(b'"beside"', f'"b{mark}"'.encode())
    )
    if case.headers.get("Content-Encoding"):
        mark, unique = case.headers["Content-Encoding"], case
    reply = send(appliance, unique)
    assert reply.status in case.statuses, reply
    assert case.text in reply.text.lower(), reply
    if reply.status != 200:
        assert len(reply.text) < 200, "one line, no more"
        assert "\n" not in reply.text.strip()
        assert "Traceback" not in reply.text
    if case.kept is not None:
        arrived = next(
            a
            for a in sink.wait(lambda arrivals: any(a.message_id == mark for a in arrivals), what="not delivered")
            if a.message_id == mark
        )
        json.loads(arrived.body, parse_int=str)
        assert case.kept.replace('"case"', f'"{mark}"') in arrived.body.replace('": ', '":').replace(", ", ",")
    if b'"beside"' in case.body and reply.status == 200:
        sink.wait_accepted({f"b{mark}"})
    guard = Case(json.dumps({**GOOD, "messageId": f"g{mark}{random.random()}"}).encode(), (200,))
    assert send(appliance, guard).status == 200, "the process is harmed"


def test_chunked_bodies_have_the_same_cap(living: tuple[Appliance, Sink]) -> None:
    appliance, _ = living
    with Wire(appliance.port, WRITE_KEY) as wire:
        try:
            reply = wire.request(
                "POST", "/v1/track", (b"x" * 65_536 for _ in range(2_000)), {"Transfer-Encoding": "chunked"}
            )
        except (BrokenPipeError, ConnectionResetError):
            return
        assert reply.status == 413


def test_a_declared_oversize_body_is_refused_before_it_is_sent(living: tuple[Appliance, Sink]) -> None:
    appliance, _ = living
    with socket.create_connection(("127.0.0.1", appliance.port), timeout=5.0) as connection:
        key = basic(WRITE_KEY)["Authorization"]
        connection.sendall(
            f"POST /v1/track HTTP/1.1\r\nHost: x\r\nAuthorization: {key}\r\nContent-Length: 99999999\r\n\r\n".encode()
        )
        assert connection.recv(1000).startswith(b"HTTP/1.1 413")


def test_what_is_refused_is_kept_with_its_bytes_and_the_reason(
    make_appliance: Callable[..., Appliance],
    make_sink: Callable[..., Sink],
) -> None:
    sink = make_sink()
    appliance = make_appliance({"destinations": {"hook": webhook(sink.url)}})
    appliance.start()
    with Wire(appliance.port, WRITE_KEY) as wire:
        good = {**GOOD, "messageId": "good"}
        assert wire.post("/v1/batch", {"batch": [{"type": "track", "event": "Nameless"}, 5, good]}).status == 200
        assert wire.post("/v1/track", b'{"broken').status == 400
    sink.wait_accepted({"good"})
    for _ in range(2):
        found = appliance.admin("/v1/refused")["refused"]
        reasons = {item["reason"] for item in found}
        assert any("anonymousId" in reason for reason in reasons), reasons
        assert any("Nameless" in item["body"] for item in found)
        assert any(item["body"] == '{"broken' and "json" in item["reason"] for item in found)
        assert {item["source"] for item in found} == {"web"}
        assert len(found) == 3
        appliance.kill()
        appliance.start()


@contextmanager
def memory_watched(appliance: Appliance) -> Iterator[Callable[[], int]]:
    """Samples the process's memory; the function tells the highest rise so far, in bytes."""
    before, over = appliance.rss_bytes(), threading.Event()
    highest = [before]

    def sample() -> None:
        while not over.wait(0.02):
            highest[0] = max(highest[0], appliance.rss_bytes())

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield lambda: highest[0] - before
    finally:
        over.set()
        thread.join()


def prove_harmless(
    appliance: Appliance,
    sink: Sink,
    seed: int,
    attack: Callable[[], object],
    figure: Callable[[str], None],
) -> None:
    """Run the attack beside good traffic; memory, answers, deliveries and the process must not suffer."""
    warm, ledger = Ledger(), Ledger()
    quiet = _named(crowd(appliance.url, WRITE_KEY, warm, seed, size=8), "warm")
    asyncio.run(under_load(quiet, lambda: time.sleep(3.0)))
    pid = appliance.pid
    with memory_watched(appliance) as rise:
        asyncio.run(under_load(_named(crowd(appliance.url, WRITE_KEY, ledger, seed, size=8), "good"), attack))
        rise_bytes = rise()
    sink.wait(drained(ledger.acknowledged), timeout_s=30)
    mine = [a for a in sink.arrivals() if a.person.startswith("good-")]
    verdict = judge(ledger.entries, mine)
    figure(
        f"memory at most +{rise_bytes / (1 << 20):.1f} MiB; good traffic: {dict(ledger.answers)}, answer p99 "
        f"{percentile(ledger.latencies_s, 0.99) * 1e3:.0f} ms (alone {percentile(warm.latencies_s, 0.99) * 1e3:.0f} ms), "
        f"arrival p99 {percentile(list(delays_s(ledger.entries, mine).values()), 0.99) * 1e3:.0f} ms"
    )
    assert (appliance.alive, appliance.pid) == (True, pid)
    assert "Traceback" not in appliance.log(), appliance.tail()
    assert set(ledger.answers) == {200}
    assert verdict.clean, str(verdict)
    assert percentile(ledger.latencies_s, 0.99) < 2.0
    assert rise_bytes < MEMORY_BYTES_MAX


def _named(clients: list[Client], prefix: str) -> list[Client]:
    for client in clients:
        client.people = [f"{prefix}-{person}" for person in client.people]
        client.numbers = dict.fromkeys(client.people, 0)
    return clients


def test_the_whole_table_at_once_beside_good_traffic(
    make_appliance: Callable[..., Appliance],
    make_sink: Callable[..., Sink],
    seed: int,
    figure: Callable[[str], None],
) -> None:
    sink = make_sink()
    appliance = make_appliance({"destinations": {"hook": webhook(sink.url)}})
    appliance.start()
    draw = random.Random(seed)

    def attack() -> None:
        rounds = [name for name in CASES for _ in range(3)]
        draw.shuffle(rounds)
        workers = [
            threading.Thread(target=lambda part=part: [send(appliance, CASES[name]) for name in part])
            for part in (rounds[0::4], rounds[1::4], rounds[2::4], rounds[3::4])
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    prove_harmless(appliance, sink, seed, attack, figure)


@pytest.mark.fuzz
@pytest.mark.timeout(120 + int(FUZZ_S))
def test_random_requests(
    make_appliance: Callable[..., Appliance],
    make_sink: Callable[..., Sink],
    seed: int,
    figure: Callable[[str], None],
) -> None:
    sink = make_sink()
    appliance = make_appliance({"destinations": {"hook": webhook(sink.url)}})
    appliance.start()
    draw, answers = random.Random(seed), Counter[int]()

    def attack() -> None:
        deadline = time.monotonic() + FUZZ_S
        while time.monotonic() < deadline:
            path, headers, body = random_request(draw)
            try:
                with Wire(appliance.port) as wire:
                    answers[
                        wire.request(
                            "POST", path, body, {k: v.encode().decode("latin-1") for k, v in headers.items()}
                        ).status
                    ] += 1
            except (OSError, ValueError):
                answers[0] += 1

    prove_harmless(appliance, sink, seed, attack, figure)
    figure(f"seed {seed}, {answers.total()} random requests: {dict(answers)}")
    assert set(answers) <= {0, 200, 400, 401, 404, 405, 413, 415}
    assert answers[0] < answers.total() / 20


@pytest.mark.fuzz
def test_random_bytes_instead_of_http(
    make_appliance: Callable[..., Appliance],
    make_sink: Callable[..., Sink],
    seed: int,
    figure: Callable[[str], None],
) -> None:
    sink = make_sink()
    appliance = make_appliance({"destinations": {"hook": webhook(sink.url)}})
    appliance.start()
    draw = random.Random(seed)
    starts = (
        b"",
        b"GET / HTTP/1.1\r\n",
        b"POST /v1/track HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
        b"\x16\x03\x01",
        b"POST /v1/track HTTP/9.9\r\n\r\n",
        b"POST /v1/track HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        b"GET /" + b"a" * 100_000,
        b"POST /v1/batch HTTP/1.1\r\n" + b"X: y\r\n" * 10_000,
        b"POST /v1/track HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 50\r\n\r\n",
    )

    def attack() -> None:
        deadline = time.monotonic() + FUZZ_S / 2
        while time.monotonic() < deadline:
            with socket.create_connection(("127.0.0.1", appliance.port), timeout=0.5) as connection:
                try:
                    connection.sendall(draw.choice(starts) + draw.randbytes(draw.randrange(500)))
                    if draw.random() < 0.5:
                        connection.recv(1000)
                except OSError:
                    pass

    prove_harmless(appliance, sink, seed, attack, figure)


@pytest.mark.timeout(120)
def test_half_open_and_slow_clients_are_cut(
    make_appliance: Callable[..., Appliance],
    make_sink: Callable[..., Sink],
    seed: int,
    figure: Callable[[str], None],
) -> None:
    sink = make_sink()
    limits = {"header_timeout_s": 2.0, "body_timeout_s": 3.0, "keepalive_timeout_s": 4.0}
    appliance = make_appliance({"collect": limits, "destinations": {"hook": webhook(sink.url)}})
    appliance.start()
    key = basic(WRITE_KEY)["Authorization"].encode()
    head = b"POST /v1/track HTTP/1.1\r\nHost: x\r\nAuthorization: " + key + b"\r\nContent-Length: 100000\r\n\r\n"
    beginnings = {
        "silent": b"",
        "half a line": b"POST /v1/tra",
        "half a head": head[:60],
        "half a body": head + b'{"type":',
    }
    cut_after_s: dict[str, list[float]] = {name: [] for name in beginnings}

    def attack() -> None:
        began, open_ = time.monotonic(), list[tuple[str, socket.socket]]()
        for name, beginning in beginnings.items():
            for _ in range(50):
                connection = socket.create_connection(("127.0.0.1", appliance.port), timeout=5.0)
                connection.sendall(beginning)
                connection.setblocking(False)
                open_.append((name, connection))
        while open_ and time.monotonic() - began < 15:
            time.sleep(0.25)
            for name, connection in list(open_):
                if _is_cut(connection, drip=b"a" if name != "silent" else b""):
                    cut_after_s[name].append(time.monotonic() - began)
                    open_.remove((name, connection))
                    connection.close()
        for _, connection in open_:
            connection.close()

    prove_harmless(appliance, sink, seed, attack, figure)
    figure(f"cut after at most { {name: round(max(times, default=-1), 1) for name, times in cut_after_s.items()} } s")
    assert all(len(times) == 50 for times in cut_after_s.values()), {name: len(t) for name, t in cut_after_s.items()}
    assert max(cut_after_s["half a head"]) < 5.0
    assert max(cut_after_s["half a body"]) < 7.0


def _is_cut(connection: socket.socket, drip: bytes) -> bool:
    """Send one more byte, as a slow-loris does; whether the other side has ended the connection."""
    try:
        if drip:
            connection.send(drip)
        while connection.recv(4096):
            pass
        return True
    except BlockingIOError:
        return False
    except OSError:
        return True
