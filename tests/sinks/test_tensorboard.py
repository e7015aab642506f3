"""Event files: check sums against published vectors, bytes against the wire format written out, and all of it read back by TensorBoard."""

import math
import struct

import pytest

import chainrule as cr
from chainrule.core.errors import InputError
from chainrule.core.events import Diagnosed, Evaluated, Looked, Progressed, Started
from chainrule.sinks.tensorboard import TensorBoard, crc32c, event, histogram, masked, record, scalar, summary, varint

STARTED = Started(0, 0.0, "run", "mlp", "backprop", 10, {}, {})
RESUMED = Started(0, 0.0, "run", "mlp", "backprop", 10, {}, {}, resumed=True)


@pytest.mark.parametrize(("content", "crc"), [
    (bytes(32), 0x8A9136AA), (b"\xff" * 32, 0x62A8AB43), (bytes(range(32)), 0x46DD794E), (bytes(range(31, -1, -1)), 0x113FDB5C),
    (bytes.fromhex("01c00000 00000000 00000000 00000000 14000000 00000400 00000014 00000018 28000000 00000000 02000000 00000000"),
     0xD9963A56), (b"", 0), (b"123456789", 0xE3069283)])
def test_check_sums_are_those_of_rfc_3720(content, crc):
    assert crc32c(content) == crc


def test_a_check_sum_is_masked_as_the_format_says():
    crc = 0xE3069283
    rotated = ((crc >> 15) | (crc << 17)) % 2**32
    assert masked(b"123456789") == (rotated + 0xA282EAD8) % 2**32


@pytest.mark.parametrize(("number", "octets"), [(0, "00"), (1, "01"), (127, "7f"), (150, "9601"), (300, "ac02"),
                                                (2**63, "80808080808080808001"), (-1, "ffffffffffffffffff01")])
def test_whole_numbers_are_in_groups_of_seven_bits(number, octets):
    assert varint(number).hex() == octets


def test_a_scalar_is_so_many_bytes_and_no_others():
    content = event(1.0, 300, summary([scalar("a", 0.5)]))
    assert content.hex() == "09" "000000000000f03f" "10" "ac02" "2a0a" "0a08" "0a0161" "15" "0000003f"
    framed = record(content)
    assert framed[:8] == struct.pack("<Q", len(content))
    assert framed[8:12] == struct.pack("<I", masked(framed[:8]))
    assert framed[12:-4] == content
    assert framed[-4:] == struct.pack("<I", masked(content))


def test_a_histogram_is_so_many_bytes_and_no_others():
    packed = struct.pack("<2d", 1.0, 3.0), struct.pack("<2d", 4.0, 2.0)
    moments = (0.0, 3.0, 6.0, 4 * 0.5 + 2 * 2.0, 4 * 0.25 + 2 * 4.0)          # middles .5 and 2
    numbers = b"".join(bytes([i << 3 | 1]) + struct.pack("<d", value) for i, value in enumerate(moments, 1))
    inner = numbers + b"\x32\x10" + packed[0] + b"\x3a\x10" + packed[1]
    assert histogram("h", [1.0, 3.0], [4, 2]) == b"\x0a\x01h" + b"\x2a" + bytes([len(inner)]) + inner


def records(path):
    """The contents of a file's records, each check sum compared."""
    content, place, several = path.read_bytes(), 0, []
    while place < len(content):
        (length,) = struct.unpack_from("<Q", content, place)
        assert struct.unpack_from("<I", content, place + 8)[0] == masked(content[place : place + 8])
        body = content[place + 12 : place + 12 + length]
        assert struct.unpack_from("<I", content, place + 12 + length)[0] == masked(body)
        several.append(body)
        place += 16 + length
    return several


def test_a_run_s_events_are_read_back_by_tensorboard(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    sink = TensorBoard(tmp_path, clock=lambda: 1000.0)
    counts = [[0] * 32, [0] * 32]
    counts[0][8], counts[1][20] = 5, 7
    looks = {"layers": ["hidden", "output"], "gradient": [1e-6, None], "loss": 0.25, "through_time": [1.0, 0.5],
             "histograms": {"gradient": counts}}
    for one in (STARTED, Progressed(1, 0.1, 0, 10, 100, 0.75, 50.0, None), Looked(2, 0.2, 10, looks),
                Diagnosed(3, 0.3, "D1", "hidden", "its gradient is 1e-6", "--init he"),
                Evaluated(4, 0.4, 1, 50, {"loss": 0.5}, {"loss": 0.4, "accuracy": 0.9}, True)):
        sink(one)
    sink.close()
    sink.close()
    read = EventAccumulator(str(tmp_path), size_guidance={"scalars": 0, "histograms": 0, "tensors": 0}).Reload()
    assert read.file_version == 2.0
    values = {tag: [(e.step, e.value) for e in read.Scalars(tag)] for tag in read.Tags()["scalars"]}
    assert values == {"step/loss": [(10, 0.75)], "step/steps per second": [(10, 50.0)], "train/loss": [(50, 0.5)],
                      "valid/loss": [(50, pytest.approx(0.4))], "valid/accuracy": [(50, pytest.approx(0.9))],
                      "gradient/hidden": [(10, pytest.approx(1e-6))], "look/loss": [(10, 0.25)]}
    drawn = read.Histograms("gradient by size/hidden")[0].histogram_value
    assert (drawn.num, sum(drawn.bucket), len(drawn.bucket_limit)) == (5, 5, 32)
    assert drawn.bucket_limit[-1] == pytest.approx(1e3)
    assert drawn.bucket[8] == 5
    assert drawn.min < drawn.max == pytest.approx(1e-9 * 10 ** (12 * 9 / 32))
    assert read.Tensors("diagnoses")[0].tensor_proto.string_val[0].decode() == "D1, hidden: its gradient is 1e-6. Remedy: --init he."
    assert read.SummaryMetadata("diagnoses").plugin_data.plugin_name == "text"


def test_steps_after_a_resumption_stand_in_place_of_those_before(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    first = TensorBoard(tmp_path, clock=lambda: 1000.0)
    for step in (10, 20, 30):
        first(Progressed(1, 0.1, 0, step, 100, 1.0, 50.0, None))
    first.close()
    second = TensorBoard(tmp_path, clock=lambda: 2000.0)
    second(RESUMED)
    for step in (20, 30, 40):
        second(Progressed(1, 0.1, 0, step, 100, 2.0, 50.0, None))
    second.close()
    read = EventAccumulator(str(tmp_path), size_guidance={"scalars": 0}).Reload()
    assert [(e.step, e.value) for e in read.Scalars("step/loss")] == [(10, 1.0), (20, 2.0), (30, 2.0), (40, 2.0)]


def test_two_files_of_one_second_have_two_names(tmp_path):
    paths = [TensorBoard(tmp_path, clock=lambda: 5.0).path.name for _ in range(2)]
    assert paths == ["events.out.tfevents.0000000005.chainrule", "events.out.tfevents.0000000005.chainrule.1"]


def test_numbers_that_are_not_finite_or_too_large_are_written_as_such(tmp_path):
    sink = TensorBoard(tmp_path)
    for step, loss in enumerate((float("nan"), float("inf"), 1e300)):
        sink(Progressed(1, 0.1, 0, step, 100, loss, 50.0, None))
    sink.close()
    losses = [struct.unpack("<f", body[body.index(b"step/loss") + 10 :][:4])[0] for body in records(sink.path)[1:]]
    assert math.isnan(losses[0])
    assert losses[1:] == [math.inf, math.inf]


def test_a_folder_that_is_not_there_is_said(tmp_path):
    with pytest.raises(InputError, match="cannot be made: No such file or directory"):
        TensorBoard(tmp_path / "nowhere")


def test_a_training_writes_the_file_into_its_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = cr.train("iris", net="linear", epochs=2, plan="eager", progress=False, log="tensorboard")
    (path,) = run.path.glob("events.out.tfevents.*")
    bodies = records(path)
    assert b"brain.Event:2" in bodies[0]
    assert sum(b"valid/accuracy" in body for body in bodies) == 2
    with pytest.raises(InputError, match="--log is tensorboard, or left out; got 'wandb'"):
        cr.train("iris", net="linear", epochs=1, log="wandb", progress=False)
