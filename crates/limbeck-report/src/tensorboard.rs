use std::io::Write;
use std::path::{Path, PathBuf};

use fs_err as fs;

use crate::{LogRecord, ReportError, Result, Timestamp};

/// Writes scalars as an event file that TensorBoard reads.
///
/// The file is a sequence of `TFRecord`s (length, masked CRC-32C of the length, payload, masked CRC-32C of the payload), each an `Event`
/// protocol buffer. Wall times are seconds since 1970; the caller reads the clock.
#[derive(Debug)]
pub struct EventWriter {
    path: PathBuf,
    file: fs::File,
}

impl EventWriter {
    /// Begins an event file in `folder`, which is made if needed.
    ///
    /// A continued run begins a second file; [`restart`](Self::restart) in it hides what the first has beyond the step resumed.
    pub fn create(folder: impl AsRef<Path>, started: Timestamp) -> Result<Self> {
        let folder = folder.as_ref();
        fs::create_dir_all(folder).map_err(ReportError::write(folder))?;
        let path = (0..=u32::MAX)
            .map(|count| {
                folder.join(format!(
                    "events.out.tfevents.{:010}.limbeck.{count}",
                    started.unix()
                ))
            })
            .find(|path| !path.exists())
            .expect("no run is continued that often within a second");
        let file = fs::File::create_new(&path).map_err(ReportError::write(&path))?;
        let mut writer = Self { path, file };
        let mut event = wall_time(started.unix() as f64);
        put_bytes(&mut event, 3, b"brain.Event:2");
        writer.write_record(&event)?;
        Ok(writer)
    }

    /// The event file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Tells TensorBoard that training goes on at `step`: what earlier files have from there on is void.
    pub fn restart(&mut self, step: u64, time_s: f64) -> Result<()> {
        // SessionLog { status: START }
        self.write_event(step, time_s, 7, &[0x08, 1])
    }

    /// Adds one value to the curve `tag` (`train/loss`).
    pub fn scalar(&mut self, tag: &str, step: u64, value: f64, time_s: f64) -> Result<()> {
        let mut tagged = Vec::new();
        put_bytes(&mut tagged, 1, tag.as_bytes());
        put_key(&mut tagged, 2, FIXED_32);
        tagged.extend((value as f32).to_le_bytes());
        let mut summary = Vec::new();
        put_bytes(&mut summary, 1, &tagged);
        self.write_event(step, time_s, 5, &summary)
    }

    /// Adds every number of a log record: `train/NAME`, `train/terms/NAME` or `SPLIT/METRIC`.
    pub fn record(&mut self, record: &LogRecord, time_s: f64) -> Result<()> {
        for (tag, value) in scalars(record) {
            self.scalar(&tag, record.step(), value, time_s)?;
        }
        Ok(())
    }

    fn write_event(&mut self, step: u64, time_s: f64, field: u32, message: &[u8]) -> Result<()> {
        let mut event = wall_time(time_s);
        // A protocol buffer leaves out what is zero.
        if step != 0 {
            put_key(&mut event, 2, VARINT);
            put_varint(&mut event, step);
        }
        put_bytes(&mut event, field, message);
        self.write_record(&event)
    }

    fn write_record(&mut self, payload: &[u8]) -> Result<()> {
        let length = (payload.len() as u64).to_le_bytes();
        let mut record = Vec::with_capacity(payload.len() + 16);
        record.extend(length);
        record.extend(masked_checksum(&length).to_le_bytes());
        record.extend(payload);
        record.extend(masked_checksum(payload).to_le_bytes());
        self.file
            .write_all(&record)
            .map_err(ReportError::write(&self.path))
    }
}

fn scalars(record: &LogRecord) -> Vec<(String, f64)> {
    match record {
        LogRecord::Step(record) => {
            let named = [
                ("loss", record.loss),
                ("learning_rate", record.learning_rate),
                ("gradient_norm", record.gradient_norm),
                ("samples_per_s", record.samples_per_s),
            ];
            let named = named.map(|(name, value)| (format!("train/{name}"), value));
            let terms = record
                .terms
                .iter()
                .map(|(name, &value)| (format!("train/terms/{name}"), value));
            named.into_iter().chain(terms).collect()
        }
        LogRecord::Eval(record) => {
            let loss = (format!("{}/loss", record.split), record.loss);
            let metrics = record
                .metrics
                .iter()
                .map(|(name, &value)| (format!("{}/{name}", record.split), value));
            std::iter::once(loss).chain(metrics).collect()
        }
    }
}

/// `TFRecord`'s checksum: CRC-32C rotated right by 15 bits, plus a constant, so that a checksum over checksums stays sound.
fn masked_checksum(data: &[u8]) -> u32 {
    crc32c::crc32c(data)
        .rotate_right(15)
        .wrapping_add(0xa282_ead8)
}

const VARINT: u32 = 0;
const FIXED_64: u32 = 1;
const LENGTH_DELIMITED: u32 = 2;
const FIXED_32: u32 = 5;

fn wall_time(time_s: f64) -> Vec<u8> {
    let mut event = Vec::new();
    put_key(&mut event, 1, FIXED_64);
    event.extend(time_s.to_le_bytes());
    event
}

fn put_bytes(message: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    put_key(message, field, LENGTH_DELIMITED);
    put_varint(message, bytes.len() as u64);
    message.extend(bytes);
}

fn put_key(message: &mut Vec<u8>, field: u32, wire_type: u32) {
    put_varint(message, u64::from(field << 3 | wire_type));
}

fn put_varint(message: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        message.push(value as u8 | 0x80);
        value >>= 7;
    }
    message.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EvalRecord, StepRecord};

    /// The payloads of a `TFRecord` file, checksums checked.
    fn payloads(mut bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut payloads = Vec::new();
        while !bytes.is_empty() {
            let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
            let checksum = |range: std::ops::Range<usize>| {
                u32::from_le_bytes(bytes[range].try_into().unwrap())
            };
            assert_eq!(checksum(8..12), masked_checksum(&bytes[..8]));
            assert_eq!(
                checksum(12 + length..16 + length),
                masked_checksum(&bytes[12..12 + length])
            );
            payloads.push(bytes[12..12 + length].to_vec());
            bytes = &bytes[16 + length..];
        }
        payloads
    }

    fn varint(bytes: &mut &[u8]) -> u64 {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let byte = bytes[0];
            *bytes = &bytes[1..];
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        value
    }

    /// A message's fields: number and bytes, numbers as their bytes.
    fn fields(mut bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let key = varint(&mut bytes);
            let length = match key & 7 {
                0 => {
                    fields.push((key >> 3, varint(&mut bytes).to_le_bytes().to_vec()));
                    continue;
                }
                1 => 8,
                5 => 4,
                _ => varint(&mut bytes) as usize,
            };
            fields.push((key >> 3, bytes[..length].to_vec()));
            bytes = &bytes[length..];
        }
        fields
    }

    #[test]
    fn a_file_equals_tensorboards_own() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer =
            EventWriter::create(folder.path(), Timestamp::from_unix(1_700_000_000)).unwrap();
        writer
            .scalar("train/loss", 0, 0.7, 1_700_000_000.25)
            .unwrap();
        writer
            .scalar("train/loss", 1, 0.5, 1_700_000_001.5)
            .unwrap();
        writer
            .scalar("dev/accuracy", 300, 0.875, 1_700_000_300.0)
            .unwrap();
        writer
            .scalar("train/größe", 1 << 40, f64::NAN, 1_700_000_301.0)
            .unwrap();
        writer.restart(200, 1_700_000_400.0).unwrap();
        // Bytes from scripts/reference/tensorboard_events.py.
        let expected = include_bytes!("../fixtures/events.out.tfevents.reference");
        assert_eq!(
            payloads(&fs::read(writer.path()).unwrap()),
            payloads(expected)
        );
        assert_eq!(fs::read(writer.path()).unwrap(), expected);
    }

    #[test]
    fn a_scalar_decodes_to_its_parts() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = EventWriter::create(folder.path(), Timestamp::from_unix(7)).unwrap();
        writer.scalar("a/b", 200, 1.5, 8.25).unwrap();
        let payloads = payloads(&fs::read(writer.path()).unwrap());
        assert_eq!(fields(&payloads[0])[1], (3, b"brain.Event:2".to_vec()));
        let event = fields(&payloads[1]);
        assert_eq!(event[0], (1, 8.25_f64.to_le_bytes().to_vec()));
        assert_eq!(event[1], (2, 200_u64.to_le_bytes().to_vec()));
        let summary = fields(&event[2].1);
        assert_eq!(
            fields(&summary[0].1),
            [(1, b"a/b".to_vec()), (2, 1.5_f32.to_le_bytes().to_vec())]
        );
    }

    #[test]
    fn every_number_of_a_record_has_a_curve() {
        let step = StepRecord {
            step: 3,
            terms: [("soft-targets".to_owned(), 0.5)].into(),
            ..StepRecord::default()
        };
        let eval = EvalRecord {
            split: "dev".to_owned(),
            metrics: [("accuracy".to_owned(), 0.9)].into(),
            ..EvalRecord::default()
        };
        let tags = |record| {
            scalars(&record)
                .into_iter()
                .map(|(tag, _)| tag)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            tags(LogRecord::Step(step)),
            [
                "train/loss",
                "train/learning_rate",
                "train/gradient_norm",
                "train/samples_per_s",
                "train/terms/soft-targets"
            ],
        );
        assert_eq!(tags(LogRecord::Eval(eval)), ["dev/loss", "dev/accuracy"]);
    }

    #[test]
    fn a_second_file_of_the_same_second_has_its_own_name() {
        let folder = tempfile::tempdir().unwrap();
        let create = || EventWriter::create(folder.path(), Timestamp::from_unix(7)).unwrap();
        assert_ne!(create().path(), create().path());
    }
}
