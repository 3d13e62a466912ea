"""Writes crates/limbeck-report/fixtures/events.out.tfevents.reference with TensorBoard's own classes.

    pip install tensorboard==2.21.0 setuptools
    python scripts/reference/tensorboard_events.py crates/limbeck-report/fixtures/events.out.tfevents.reference
"""

import sys

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter


def scalar(tag, step, value, wall_time):
    summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
    return Event(wall_time=wall_time, step=step, summary=summary)


with open(sys.argv[1], "wb") as file:
    writer = RecordWriter(file)
    for event in [
        Event(wall_time=1_700_000_000, file_version="brain.Event:2"),
        scalar("train/loss", 0, 0.7, 1_700_000_000.25),
        scalar("train/loss", 1, 0.5, 1_700_000_001.5),
        scalar("dev/accuracy", 300, 0.875, 1_700_000_300),
        scalar("train/größe", 1 << 40, float("nan"), 1_700_000_301),
        Event(wall_time=1_700_000_400, step=200, session_log=SessionLog(status=SessionLog.START)),
    ]:
        writer.write(event.SerializeToString())
