"""Event files as they grow, break off, repeat steps and get damaged."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.summary.writer.record_writer import RecordWriter

from bracket.runner.reading.events import EventReader, _masked_crc32c, merge, pace


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "events.out.tfevents.1700000000.host.1.0"


def scalar(step: int, value: float, tag: str = "loss/train") -> Event:
    event = Event(step=step, wall_time=1.7e9 + step / 2)
    event.summary.value.add(tag=tag, simple_value=value)
    return event


def write(path: Path, *events: Event) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "ab") as stream:
        writer = RecordWriter(stream)
        for event in events:
            writer.write(event.SerializeToString())
        writer.flush()


def points(reader: EventReader, tag: str = "loss/train") -> list[tuple[int, float]]:
    steps, values = reader.read_new().get(tag, (np.array([]), np.array([])))
    return list(zip(steps.tolist(), values.tolist(), strict=True))


def test_reads_only_what_is_new(file: Path) -> None:
    reader = EventReader(file.parent)
    assert reader.read_new() == {}
    write(file, Event(file_version="brain.Event:2"), scalar(1, 0.5), scalar(2, 0.25), scalar(2, 1e-4, "lr"))
    curves = reader.read_new()
    assert {tag: (steps.tolist(), values.tolist()) for tag, (steps, values) in curves.items()} == {
        "loss/train": ([1, 2], [0.5, 0.25]),
        "lr": ([2], [pytest.approx(1e-4)]),
    }
    assert reader.read_new() == {}
    write(file, scalar(3, 0.125))
    assert points(reader) == [(3, 0.125)]
    assert reader.size == file.stat().st_size
    assert reader.speed("loss/train") == pytest.approx(2.0)


def test_a_record_cut_at_any_byte_waits_for_its_rest(file: Path) -> None:
    write(file, scalar(1, 0.5))
    whole = file.stat().st_size
    write(file, scalar(2, 0.25))
    data = file.read_bytes()
    for cut in range(whole, len(data)):
        file.write_bytes(data[:cut])
        reader = EventReader(file.parent)
        assert points(reader) == [(1, 0.5)], cut
        assert points(reader) == []
        file.write_bytes(data)
        assert points(reader) == [(2, 0.25)], cut
        assert reader.problems == []


def test_a_record_that_grows_byte_by_byte_arrives_once(file: Path) -> None:
    write(file, scalar(1, 0.5), scalar(2, 0.25))
    data, got = file.read_bytes(), []
    file.write_bytes(b"")
    reader = EventReader(file.parent)
    for number in range(len(data)):
        with open(file, "ab") as stream:
            stream.write(data[number : number + 1])
        got += points(reader)
    assert got == [(1, 0.5), (2, 0.25)]


@pytest.mark.parametrize("damage", [struct.pack("<QI", 1 << 60, 7), bytes(64), struct.pack("<QI", 40, 7)])
def test_damage_ends_the_file_and_is_told_once(file: Path, damage: bytes) -> None:
    write(file, scalar(1, 0.5))
    place = file.stat().st_size
    with open(file, "ab") as stream:
        stream.write(damage)
    write(file, scalar(2, 0.25))
    write(file.with_name("events.out.tfevents.1700000009.host.1.0"), scalar(3, 0.125))
    reader = EventReader(file.parent)
    assert points(reader) == [(1, 0.5), (3, 0.125)]
    reader.read_new()
    (problem,) = reader.problems
    assert problem.path == file
    assert f"damaged at byte {place}" in problem.message


def test_a_message_that_is_no_event_is_damage(file: Path) -> None:
    file.parent.mkdir()
    with open(file, "wb") as stream:
        RecordWriter(stream).write(b"\xff\xff\xff not protobuf")
    reader = EventReader(file.parent)
    assert reader.read_new() == {}
    assert "damaged at byte 0" in reader.problems[0].message


def test_a_resumed_run_replaces_the_steps_it_repeats(file: Path) -> None:
    write(file.with_name("events.out.tfevents.1700000005.host.9.0"), scalar(2, 0.9), scalar(3, 0.8))
    write(file, scalar(1, 0.5), scalar(2, 0.25))
    reader = EventReader(file.parent)
    assert points(reader) == [(1, 0.5), (2, 0.25), (2, pytest.approx(0.9)), (3, pytest.approx(0.8))]
    steps, values = reader.read_all()["loss/train"]
    assert steps.tolist() == [1, 2, 3]
    assert values.tolist() == pytest.approx([0.5, 0.9, 0.8])


def test_merge_by_hand() -> None:
    old = np.array([1, 2, 4]), np.array([10.0, 20.0, 40.0])
    new = np.array([4, 3, 4]), np.array([41.0, 31.0, 42.0])
    steps, values = merge(old, new)
    assert steps.tolist() == [1, 2, 3, 4]
    assert values.tolist() == [10.0, 20.0, 31.0, 42.0]
    assert merge((old[0][:0], old[1][:0]), (old[0][:0], old[1][:0]))[0].tolist() == []


@pytest.mark.parametrize(
    ("tensor", "value"),
    [
        (TensorProto(dtype=1, float_val=[0.5]), 0.5),
        (TensorProto(dtype=1, tensor_content=struct.pack("<f", 0.5)), 0.5),
        (TensorProto(dtype=2, tensor_content=struct.pack("<d", 0.1)), 0.1),
        (TensorProto(dtype=19, tensor_content=struct.pack("<e", 0.5)), 0.5),
        (TensorProto(dtype=9, int64_val=[7]), 7.0),
        (TensorProto(dtype=7, string_val=[b"a text"]), None),
        (TensorProto(dtype=1, float_val=[1.0, 2.0]), None),
        (TensorProto(dtype=1, tensor_content=bytes(8)), None),
    ],
)
def test_numbers_in_tensors(file: Path, tensor: TensorProto, value: float | None) -> None:
    event = Event(step=1)
    event.summary.value.add(tag="loss/train", tensor=tensor)
    write(file, event)
    assert points(EventReader(file.parent)) == ([] if value is None else [(1, value)])


def test_a_record_larger_than_one_block_is_read(file: Path) -> None:
    picture = Event(step=1)
    picture.summary.value.add(tag="picture").image.encoded_image_string = bytes(9 << 20)
    data = picture.SerializeToString()
    file.parent.mkdir()
    # Framed by hand: the writer's checksum of nine megabytes takes seconds, and is not looked at.
    file.write_bytes(struct.pack("<QI", len(data), _masked_crc32c(struct.pack("<Q", len(data)))) + data + bytes(4))
    write(file, scalar(2, 0.5))
    assert points(EventReader(file.parent)) == [(2, 0.5)]


def test_not_a_number_stays_one(file: Path) -> None:
    write(file, scalar(1, float("nan")))
    ((step, value),) = points(EventReader(file.parent))
    assert step == 1
    assert np.isnan(value)


@pytest.mark.parametrize("step", [-3600.0, -2.0, 86_400.0])
def test_a_clock_that_is_put_back_or_far_forward_does_not_change_the_pace(step: float) -> None:
    points = [(i, 1_000.0 + 2 * i + (step if i > 5 else 0)) for i in range(20)]
    assert pace(points) == pytest.approx(0.5)
    assert pace(points[:1]) is None and pace([(1, 5.0), (1, 6.0)]) is None
