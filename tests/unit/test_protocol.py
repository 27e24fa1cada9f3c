"""The wire's messages: what goes in comes out, and nothing malformed gets further than a typed error."""

import copy
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inference_server.wire import protocol
from inference_server.wire.packing import pack_mask, pack_probabilities, unpack_mask, unpack_probabilities
from inference_server.wire.protocol import (
    MAX_FRAMES,
    MAX_HEADER_BYTES,
    PROTOCOL_VERSION,
    Arguments,
    Click,
    ErrorCode,
    Message,
    ProtocolError,
    Reply,
    Request,
    array_of,
    decode,
    encode,
)
from inference_server.wire.requests import (
    Chunk,
    Predict,
    PutScene,
    ServerInfo,
    error_message,
    mask_message,
    read_error,
    read_mask,
)

SCENE = "0123456789abcdef" * 4
DTYPES = ("uint8", "uint32", "int64", "float32", "float64")

relaxed = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

plain = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8) | st.floats(-1e9, 1e9)
json_values = plain | st.lists(plain, max_size=3) | st.dictionaries(st.text(max_size=5), plain, max_size=3)
positions = st.tuples(*[st.floats(-1e6, 1e6)] * 3)
clicks = st.builds(Click, positions, st.booleans(), st.integers(-1, 2**40))


@st.composite
def arrays(draw) -> np.ndarray:
    shape = draw(st.sampled_from([(0,), (1,), (5,), (0, 3), (2, 3), (4, 1)]))
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    return np.random.default_rng(draw(st.integers(0, 99))).integers(0, 256, shape).astype(dtype)


def sent(message: Message) -> Message:
    """A message after a journey: encoded, as bytes, decoded."""
    return decode([bytes(frame) for frame in encode(message)])


class TestRoundTrips:
    @relaxed
    @given(
        kind=st.text(min_size=1, max_size=32),
        number=st.integers(0, 2**53),
        args=st.dictionaries(st.text(max_size=8), json_values, max_size=4),
        content=st.dictionaries(st.sampled_from("abcdefgh"), arrays(), max_size=MAX_FRAMES - 1),
    )
    def test_any_message_arrives_as_it_was(self, kind, number, args, content):
        arrived = sent(Message(kind, number, args, content))
        assert (arrived.type, arrived.id, arrived.args) == (kind, number, args)
        assert list(arrived.arrays) == list(content)
        for name, array in content.items():
            assert arrived.arrays[name].dtype == array.dtype and arrived.arrays[name].shape == array.shape
            assert arrived.arrays[name].tobytes() == array.tobytes()
            assert not arrived.arrays[name].flags.writeable

    @relaxed
    @given(
        clicks=st.lists(clicks, min_size=1, max_size=6),
        name=st.text(max_size=200),
        voxel_size=st.floats(1e-4, 100),
        options=st.dictionaries(st.text(max_size=8), st.booleans() | st.floats(-1, 1), max_size=3),
        probabilities=st.booleans(),
        deadline=st.none() | st.floats(0, 3600),
    )
    def test_a_predict_keeps_its_clicks_in_order(self, clicks, name, voxel_size, options, probabilities, deadline):
        more = {"options": options, "probabilities": probabilities, "deadline": deadline}
        arrived = Predict.read(sent(Predict.of_clicks(SCENE, name, clicks, voxel_size, **more).message(7)))
        assert arrived.clicks == clicks
        assert (arrived.scene, arrived.object_id, arrived.voxel_size) == (SCENE, name, voxel_size)
        assert {"options": arrived.options, "probabilities": arrived.probabilities} | {
            "deadline": arrived.deadline
        } == more

    @relaxed
    @given(points=st.integers(1, 2**40), has_colors=st.booleans(), number=st.integers(0, 2**53))
    def test_the_announcement_of_a_scene(self, points, has_colors, number):
        put = PutScene(SCENE, points, has_colors)
        message = sent(put.message(number))
        assert PutScene.read(message) == put and message.id == number

    @pytest.mark.parametrize("has_colors", [True, False])
    def test_a_chunk_carries_its_points(self, has_colors):
        content = np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32)
        colors = np.arange(27, dtype=np.uint8).reshape(9, 3) if has_colors else None
        arrived = Chunk.read(sent(Chunk(SCENE, 3, content, colors).message(1)))
        assert arrived.index == 3 and (arrived.positions == content).all()
        assert (arrived.colors is None) != has_colors
        assert colors is None or (arrived.colors == colors).all()

    def test_what_a_server_says_of_itself(self):
        info = ServerInfo("1.2", "abc", True, "small", ("small", "large"), "cuda:0", "torch", {"points": 5})
        assert ServerInfo.read(sent(info.message(3))) == info

    @pytest.mark.parametrize("code", ErrorCode)
    def test_errors_keep_code_and_sentence(self, code):
        assert read_error(sent(error_message(1, code, "It failed."))) == (code, "It failed.")

    def test_an_error_code_of_a_later_version_reads_as_internal(self):
        message = Message(Reply.ERROR, 1, {"code": "out_of_coffee", "message": "No."})
        assert read_error(sent(message)) == (ErrorCode.INTERNAL, "No.")

    @relaxed
    @given(
        length=st.integers(1, 5000),
        where=st.lists(st.integers(0, 4999), max_size=40),
        with_probabilities=st.booleans(),
    )
    def test_masks_arrive_as_they_were(self, length, where, with_probabilities):
        mask, probabilities = np.zeros(length, bool), np.zeros(length, np.uint8)
        for index in where:
            mask[index % length], probabilities[index % length] = True, 1 + index % 255
        message = sent(mask_message(1, SCENE, "x", mask, probabilities if with_probabilities else None, {"a": 0.5}))
        got_mask, got_probabilities, timing = read_mask(message, length)
        assert got_mask.dtype == bool and (got_mask == mask).all() and timing == {"a": 0.5}
        if with_probabilities:
            assert (got_probabilities == probabilities).all()
        else:
            assert got_probabilities is None

    def test_a_small_object_in_a_large_scan_makes_a_small_message(self):
        mask = np.zeros(10_000_000, bool)
        mask[5_000_000:5_010_000] = True
        frames = encode(mask_message(1, SCENE, "x", mask, mask.astype(np.uint8) * 200, {}))
        assert sum(len(frame) for frame in frames) < 15_000

    def test_arrays_of_another_byte_order_or_layout_are_converted(self):
        content = np.arange(12, dtype=">f4").reshape(3, 4).T
        assert (sent(Message("x", 1, {}, {"a": content})).arrays["a"] == content).all()


def header(**changes: object) -> dict:
    good = {"version": PROTOCOL_VERSION, "id": 5, "type": "ping", "args": {}, "arrays": []}
    return {key: value for key, value in (good | changes).items() if value is not ...}


def frames_of(header: object, *frames: bytes) -> list[bytes]:
    return [json.dumps(header).encode(), *frames]


def array(**changes: object) -> dict:
    return {"name": "a", "dtype": "float32", "shape": [1]} | changes


BAD = ErrorCode.BAD_REQUEST
MALFORMED = [
    ([], BAD, "no header"),
    ([b"{}"] * (MAX_FRAMES + 1), ErrorCode.TOO_LARGE, "at most 8 frames"),
    ([b" " * (MAX_HEADER_BYTES + 1)], ErrorCode.TOO_LARGE, "at most 65536 bytes"),
    ([b"\xff\xfe"], BAD, "not JSON"),
    ([b""], BAD, "not JSON"),
    ([b"{"], BAD, "not JSON"),
    ([b"[" * 30_000], BAD, "not JSON"),
    ([b'{"version": NaN}'], BAD, "not JSON"),
    ([b'{"version": ' + b"9" * 5000 + b"}"], BAD, "not JSON"),
    ([b"[1]"], BAD, "not a JSON object"),
    (frames_of(header(version=...)), BAD, "no protocol version"),
    (frames_of(header(version="1")), BAD, "no protocol version"),
    (frames_of(header(version=True)), BAD, "no protocol version"),
    (frames_of(header(version=2)), ErrorCode.UNSUPPORTED_VERSION, "version 3, the other side version 2"),
    (frames_of(header(id=...)), BAD, "no request id"),
    (frames_of(header(id=-1)), BAD, "no request id"),
    (frames_of(header(id=2**53 + 1)), BAD, "no request id"),
    (frames_of(header(type=...)), BAD, "no message type"),
    (frames_of(header(type="")), BAD, "no message type"),
    (frames_of(header(type="x" * 33)), BAD, "no message type"),
    (frames_of(header(args=[])), BAD, "not a JSON object"),
    (frames_of(header(arrays=...)), BAD, "describe the frames"),
    (frames_of(header(arrays=[array()])), BAD, "describe the frames"),
    (frames_of(header(), b"1234"), BAD, "describe the frames"),
    (frames_of(header(arrays=[3]), b"1234"), BAD, "not described"),
    (frames_of(header(arrays=[array(name=7)]), b"1234"), BAD, "no name"),
    (frames_of(header(arrays=[array(name="")]), b"1234"), BAD, "no name"),
    (frames_of(header(arrays=[array(dtype="object")]), b"1234"), BAD, "one of uint8"),
    (frames_of(header(arrays=[array(dtype=["f4"])]), b"1234"), BAD, "one of uint8"),
    (frames_of(header(arrays=[array(shape=[])]), b"1234"), BAD, "one or two dimensions"),
    (frames_of(header(arrays=[array(shape=[1, 1, 1])]), b"1234"), BAD, "one or two dimensions"),
    (frames_of(header(arrays=[array(shape=[1.0])]), b"1234"), BAD, "whole numbers"),
    (frames_of(header(arrays=[array(shape=[-1])]), b"1234"), BAD, "whole numbers"),
    (frames_of(header(arrays=[array(shape=[2])]), b"1234"), BAD, "bytes disagree"),
    (frames_of(header(arrays=[array(shape=[2**52, 2**52])]), b"1234"), BAD, "bytes disagree"),
    (frames_of(header(arrays=[array(shape=[0])]), b"1234"), BAD, "bytes disagree"),
    (frames_of(header(arrays=[array(), array()]), b"1234", b"1234"), BAD, "same name"),
]


class TestMalformed:
    @pytest.mark.parametrize(("frames", "code", "words"), MALFORMED)
    def test_is_refused_with_the_reason(self, frames, code, words):
        with pytest.raises(ProtocolError) as caught:
            decode(frames)
        assert caught.value.code is code
        assert words in caught.value.message

    def test_the_error_knows_whose_request_it_was(self):
        with pytest.raises(ProtocolError) as caught:
            decode(frames_of(header(id=77, type="")))
        assert caught.value.request == 77

    @pytest.mark.parametrize(
        ("read", "words"),
        [
            (lambda args: args.integer("x"), "'x' must be a whole number from 0"),
            (lambda args: args.integer("flag"), "'flag' must be a whole number"),
            (lambda args: args.integer("large", high=10), "to 10"),
            (lambda args: args.number("x", 0, 1), "'x' must be a number from 0 to 1"),
            (lambda args: args.number("large", 0, 1), "from 0 to 1"),
            (lambda args: args.number("flag", 0, 1), "'flag' must be a number"),
            (lambda args: args.text("large"), "'large' must be text"),
            (lambda args: args.text("text", longest=3), "at most 3 characters"),
            (lambda args: args.flag("large"), "'large' must be true or false"),
            (lambda args: args.table("large"), "'large' must be an object"),
            (lambda args: args.scene(), "64 hexadecimal digits"),
        ],
    )
    def test_arguments_are_named_in_the_error(self, read, words):
        with pytest.raises(ProtocolError, match=words):
            read(Arguments({"flag": True, "large": 11, "text": "four", "scene": "F" * 64}))

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"positions": np.zeros((2, 2))}, "'positions' has a wrong shape"),
            ({"positions": np.zeros((2, 3), np.float32)}, "'positions' of float64 is missing"),
            ({"positions": np.zeros((1, 3))}, "as many positions as vertices"),
            ({"vertices": np.zeros((2, 1), np.int64)}, "'vertices' has a wrong shape"),
            ({"positive": np.array([0, 2], np.uint8)}, "label is 0 or 1"),
            ({"joined": np.zeros(3, np.uint8)}, "as many positions as vertices"),
            ({"vertices": np.array([0, -2], np.int64)}, "an index, or -1"),
            ({"positions": np.array([[0, 0, np.nan], [0, 0, 0]])}, "not a finite number"),
            ({"positions": np.array([[0, np.inf, 0], [0, 0, 0]])}, "not a finite number"),
            (
                {name: np.zeros((0, 3) if name == "positions" else 0, dtype)
                 for name, dtype in (("positions", "f8"), ("vertices", "i8"), ("positive", "u1"), ("joined", "u1"))},
                "There is no click",
            ),
        ],
    )  # fmt: skip
    def test_clicks_that_make_no_sense(self, changes, words):
        message = Predict.of_clicks(SCENE, "x", [Click((0, 0, 0), True)] * 2, 0.05).message(1)
        message.arrays |= changes
        with pytest.raises(ProtocolError, match=words):
            Predict.read(sent(message))

    def test_clicks_arrive_as_they_were_sent(self):
        clicks = [
            Click((0.5, 0.0, 1e6), True, 3),
            Click((0.0, 1.0, 0.0), False),
            Click((1.0, 1.0, 1.0), False, 9, True),
        ]
        assert Predict.read(sent(Predict.of_clicks(SCENE, "x", clicks, 0.05).message(1))).clicks == clicks

    def test_a_client_that_does_not_tell_what_was_given_together_gave_each_click_alone(self):
        message = Predict.of_clicks(SCENE, "x", [Click((0, 0, 0), True, 1, True)] * 2, 0.05).message(1)
        del message.arrays["joined"]
        assert not any(click.joined for click in Predict.read(sent(message)).clicks)

    @pytest.mark.parametrize("voxel_size", [0, -1, 1e-5, 1e4, None, "small", True])
    def test_voxel_sizes_that_make_no_sense(self, voxel_size):
        message = Predict.of_clicks(SCENE, "x", [Click((0, 0, 0), True)], 0.05).message(1)
        message.args["voxel_size"] = voxel_size
        with pytest.raises(ProtocolError, match="'voxel_size' must be a number from 0.0001 to 100"):
            Predict.read(sent(message))

    def test_a_chunk_with_fewer_colours_than_points(self):
        chunk = Chunk(SCENE, 0, np.zeros((2, 3), np.float32), np.zeros((1, 3), np.uint8))
        with pytest.raises(ProtocolError, match="as many colours"):
            Chunk.read(sent(chunk.message(1)))

    def test_an_array_that_is_not_there(self):
        with pytest.raises(ProtocolError, match="'positions' of float32 is missing"):
            array_of(Message("x"), "positions", "float32", 3)

    @pytest.mark.parametrize("models", [None, "small", [1]])
    def test_an_info_without_a_list_of_models(self, models):
        message = ServerInfo("1", "a", True, "m", (), "cpu", "torch", {}).message(0)
        message.args["models"] = models
        with pytest.raises(ProtocolError, match="list of names"):
            ServerInfo.read(message)

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (lambda arrays: arrays.pop("mask"), "no 'mask'"),
            (lambda arrays: arrays.update(mask=arrays["mask"][:-1]), "do not fit"),
            (lambda arrays: arrays.update(mask_blocks=np.array([9999], np.uint32)), "do not fit"),
            (lambda arrays: arrays.update(mask_blocks=arrays["mask_blocks"].astype(np.int64)), "do not fit"),
            (lambda arrays: arrays.pop("mask_blocks"), "another length"),
        ],
    )
    def test_a_mask_that_does_not_fit_its_scene(self, change, words):
        mask = np.zeros(100_000, bool)
        mask[0] = True
        packed = pack_mask(mask)
        change(packed)
        with pytest.raises(ProtocolError, match=words):
            unpack_mask(packed, len(mask))

    @pytest.mark.parametrize("points", [1, 7, 511, 512, 513, 1017, 100_000, 100_860, 100_863, 100_864])
    @pytest.mark.parametrize("share", [0.0, 0.01, 0.9])
    def test_known_places_pack_as_a_search_for_them_does(self, points, share):
        rng = np.random.default_rng(points)
        mask = np.zeros(points, bool)
        middle = mask[points // 3 : points // 2]
        middle[:] = rng.random(len(middle)) < share
        mask[-1] = share > 0
        indices = rng.permutation(np.flatnonzero(mask | (rng.random(points) < 0.001)))
        probabilities = np.zeros(points, np.uint8)
        probabilities[indices] = rng.integers(1, 256, len(indices))
        for pack, unpack, values in (
            (pack_mask, unpack_mask, mask),
            (pack_probabilities, unpack_probabilities, probabilities),
        ):
            searched, known = pack(values), pack(values, indices)
            assert searched.keys() == known.keys()
            assert all((searched[name] == known[name]).all() for name in searched)
            assert (unpack(known, points) == values).all()

    def test_a_mask_of_another_scene(self):
        message = mask_message(1, SCENE, "x", np.zeros(5, bool), None, {})
        with pytest.raises(ProtocolError, match="another number of points"):
            read_mask(message, 6)

    def test_probabilities_are_optional(self):
        assert unpack_probabilities({}, 5) is None
        values = np.arange(5, dtype=np.uint8)
        assert (unpack_probabilities(pack_probabilities(values), 5) == values).all()


def recorded() -> list[Message]:
    """A valid message of every kind that a client sends."""
    content = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    click = Click((1.0, 2.0, 3.0), True, 2)
    return [
        Message(Request.HELLO, 1, {"client": "a" * 32}),
        PutScene(SCENE, 4, True).message(2),
        Chunk(SCENE, 0, content, np.zeros((4, 3), np.uint8)).message(2),
        Predict.of_clicks(SCENE, "lamp", [click, click], 0.05, options={"a": 1}, deadline=3.0).message(3),
        Message(Request.CANCEL, 3),
        Message(Request.DROP_SCENE, 4, {"scene": SCENE}),
        Message(Request.STATUS, 5),
        Message(Request.PING, 6),
    ]


READERS = {Request.PUT_SCENE: PutScene.read, Request.CHUNK: Chunk.read, Request.PREDICT: Predict.read}
junk = json_values | st.sampled_from([2**60, -1, 1e308, "NaN", [[]], {"x": [None]}])


@st.composite
def mutations(draw) -> list[bytes]:
    """The frames of a recorded message with one thing changed."""
    frames = [bytes(frame) for frame in encode(draw(st.sampled_from(recorded())))]
    match draw(st.sampled_from(["byte", "cut", "field", "argument", "description", "drop", "add", "swap"])):
        case "byte":
            which = draw(st.integers(0, len(frames) - 1))
            frame = bytearray(frames[which] or b"\0")
            frame[draw(st.integers(0, len(frame) - 1))] = draw(st.integers(0, 255))
            frames[which] = bytes(frame)
        case "cut":
            which = draw(st.integers(0, len(frames) - 1))
            frames[which] = frames[which][: draw(st.integers(0, len(frames[which])))]
        case "drop":
            del frames[draw(st.integers(0, len(frames) - 1))]
        case "add":
            frames.insert(draw(st.integers(0, len(frames))), draw(st.binary(max_size=64)))
        case "swap":
            first, second = draw(st.integers(0, len(frames) - 1)), draw(st.integers(0, len(frames) - 1))
            frames[first], frames[second] = frames[second], frames[first]
        case place:
            content = copy.deepcopy(json.loads(frames[0]))
            target = content
            if place == "argument" and content["args"]:
                target = content["args"]
            elif place == "description" and content["arrays"]:
                target = draw(st.sampled_from(content["arrays"]))
            target[draw(st.sampled_from(sorted(target)))] = draw(junk)
            frames[0] = json.dumps(content).encode()
    return frames


class TestFuzz:
    @settings(relaxed, max_examples=300)
    @given(mutations() | st.lists(st.binary(max_size=200), max_size=MAX_FRAMES + 2))
    def test_anything_is_read_or_refused_with_a_typed_error(self, frames):
        try:
            message = decode(frames)
            READERS.get(message.type, lambda message: None)(message)
        except ProtocolError as error:
            assert error.code in ErrorCode and error.message.endswith((".", "JSON."))

    def test_the_recorded_messages_are_valid(self):
        for message in recorded():
            arrived = sent(message)
            READERS.get(arrived.type, lambda message: None)(arrived)
        assert {message.type for message in recorded()} == set(Request)


def test_the_wire_needs_nothing_but_numpy_zmq_and_blake3():
    import subprocess
    import sys

    code = (
        "import sys; before = set(sys.modules)\n"
        "import inference_server.wire.client, inference_server.wire.location\n"
        "new = {name.split('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(new - set(sys.stdlib_module_names)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    allowed = {"inference_server", "numpy", "zmq", "blake3", "_cython", "cython_runtime"}
    loaded = {name for name in eval(done.stdout) if not name.startswith("_cython")}
    assert loaded <= allowed, loaded


def test_words_of_the_protocol_are_plain_text():
    assert str(Request.PING) == "ping" and json.dumps(ErrorCode.BUSY) == '"busy"'
    assert protocol.DEFAULT_ADDRESS.startswith("tcp://127.0.0.1:")
