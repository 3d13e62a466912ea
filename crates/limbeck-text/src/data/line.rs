use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use crate::TextError;

/// Numbered lines of UTF-8 text, without their ends and without a byte order mark.
pub(super) struct LineReader<R> {
    input: R,
    path: PathBuf,
    line: u64,
}

/// The lines of a file.
pub(super) type FileLines = LineReader<BufReader<fs_err::File>>;

impl FileLines {
    pub(super) fn open(path: &Path) -> Result<Self, TextError> {
        Ok(Self::new(BufReader::new(open(path)?), path))
    }
}

impl<R: BufRead> LineReader<R> {
    pub(super) fn new(input: R, path: &Path) -> Self {
        Self {
            input,
            path: path.to_owned(),
            line: 0,
        }
    }
}

impl<R: BufRead> Iterator for LineReader<R> {
    /// 1-based number and text.
    type Item = Result<(u64, String), TextError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut bytes = Vec::new();
        match self.input.read_until(b'\n', &mut bytes) {
            Ok(0) => return None,
            Ok(_) => self.line += 1,
            Err(error) => return Some(Err(error.into())),
        }
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
            if bytes.last() == Some(&b'\r') {
                bytes.pop();
            }
        }
        if self.line == 1 && bytes.starts_with(b"\xef\xbb\xbf") {
            bytes.drain(..3);
        }
        let text = String::from_utf8(bytes).map_err(|error| TextError::NotUtf8 {
            path: self.path.clone(),
            line: self.line,
            valid_bytes: error.utf8_error().valid_up_to(),
        });
        Some(text.map(|text| (self.line, text)))
    }
}

/// Opens a file; one that is missing has its own error.
pub(super) fn open(path: &Path) -> Result<fs_err::File, TextError> {
    fs_err::File::open(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => TextError::MissingFile {
            path: path.to_owned(),
        },
        _ => error.into(),
    })
}
