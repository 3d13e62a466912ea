//! Files read through a memory map: one header, then sections of little-endian numbers.

use std::io::{BufWriter, Write};
use std::path::Path;

use memmap2::{Mmap, MmapMut};

use super::file_error;
use crate::ModelError;

const HEADER_LEN: usize = 128;
const VERSION: u32 = 1;
/// The checksum covers all bytes from here on.
const CHECKED_FROM: usize = 16;

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `f32[rows, columns]`, then the ends of the words `u32[rows]`, their alphabetic order `u32[rows]`, and their text.
    Vectors,
    /// `u32[rows, columns]`.
    Neighbours,
}

impl Kind {
    fn magic(self) -> &'static [u8; 8] {
        match self {
            Self::Vectors => b"limbeckv",
            Self::Neighbours => b"limbeckn",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Vectors => "store of word vectors",
            Self::Neighbours => "table of neighbours",
        }
    }
}

/// The first 128 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) rows: u64,
    pub(super) columns: u32,
    pub(super) flags: u32,
    /// Bytes of all words together.
    pub(super) text_len: u64,
    /// SHA-256 of words and vectors.
    pub(super) digest: [u8; 32],
}

impl Header {
    fn encode(&self, sections: &[&[u8]]) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[..8].copy_from_slice(self.kind.magic());
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.rows.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.columns.to_le_bytes());
        bytes[28..32].copy_from_slice(&self.flags.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.text_len.to_le_bytes());
        bytes[40..72].copy_from_slice(&self.digest);
        let checksum = sections
            .iter()
            .fold(crc32c::crc32c(&bytes[CHECKED_FROM..]), |sum, section| {
                crc32c::crc32c_append(sum, section)
            });
        bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    fn decode(kind: Kind, bytes: &[u8]) -> Self {
        let u32_at = |at: usize| u32::from_le_bytes(array(&bytes[at..]));
        let u64_at = |at: usize| u64::from_le_bytes(array(&bytes[at..]));
        Self {
            kind,
            rows: u64_at(16),
            columns: u32_at(24),
            flags: u32_at(28),
            text_len: u64_at(32),
            digest: array(&bytes[40..]),
        }
    }

    /// Length of the whole file in bytes.
    fn file_len(&self) -> u128 {
        let row = 4 * u128::from(self.columns)
            + match self.kind {
                Kind::Vectors => 8,
                Kind::Neighbours => 0,
            };
        HEADER_LEN as u128 + u128::from(self.rows) * row + u128::from(self.text_len)
    }
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    *bytes.first_chunk().expect("the header is 128 bytes long")
}

/// A header and its sections, mapped.
#[derive(Debug)]
pub(super) struct MappedFile {
    pub(super) header: Header,
    map: Mmap,
}

impl MappedFile {
    /// Writes a file beside its place, gives it its name by a rename, and maps it.
    pub(super) fn create(
        path: &Path,
        header: &Header,
        sections: &[&[u8]],
    ) -> Result<Self, ModelError> {
        let failed = |source| ModelError::Write { source };
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // The process id keeps two processes that write the same file apart; the later rename wins.
        let partial = path.with_file_name(format!(".{name}.{}.partial", std::process::id()));
        let write = || -> std::io::Result<()> {
            let mut writer = BufWriter::new(fs_err::File::create(&partial)?);
            writer.write_all(&header.encode(sections))?;
            for section in sections {
                writer.write_all(section)?;
            }
            writer
                .into_inner()
                .map_err(std::io::IntoInnerError::into_error)?
                .sync_all()?;
            fs_err::rename(&partial, path)
        };
        if let Err(source) = write() {
            // The error that led here is the one to report.
            let _ = fs_err::remove_file(&partial);
            return Err(failed(source));
        }
        Self::open(path, header.kind)
    }

    /// The same in memory alone.
    pub(super) fn in_memory(header: &Header, sections: &[&[u8]]) -> Result<Self, ModelError> {
        let failed = |source| ModelError::Write { source };
        let len = HEADER_LEN + sections.iter().map(|section| section.len()).sum::<usize>();
        let mut map = MmapMut::map_anon(len).map_err(failed)?;
        let mut rest = &mut map[..];
        for section in std::iter::once(&&header.encode(sections)[..]).chain(sections) {
            rest.write_all(section).map_err(failed)?;
        }
        Ok(Self {
            header: header.clone(),
            map: map.make_read_only().map_err(failed)?,
        })
    }

    /// Maps a file and checks every byte of it.
    #[expect(
        unsafe_code,
        reason = "mapping a file: files of ours are only ever replaced by a rename, never changed in place"
    )]
    pub(super) fn open(path: &Path, kind: Kind) -> Result<Self, ModelError> {
        let failed = |problem: &str| file_error(path, problem);
        if cfg!(target_endian = "big") {
            return Err(failed(
                "mapped files are little-endian, this machine is not; read the vectors from text",
            ));
        }
        let read = |source| ModelError::Read { source };
        let file = fs_err::File::open(path).map_err(read)?;
        if file.metadata().map_err(read)?.len() < HEADER_LEN as u64 {
            return Err(failed(&format!(
                "too short for a {}; make it again",
                kind.name()
            )));
        }
        // SAFETY: nobody writes into a file that has this name; see the reason above.
        let map = unsafe { Mmap::map(file.file()) }.map_err(read)?;
        if !map.starts_with(kind.magic()) {
            return Err(failed(&format!("not a {} of limbeck", kind.name())));
        }
        let version = u32::from_le_bytes(array(&map[8..]));
        if version != VERSION {
            return Err(failed(&format!(
                "format {version}, expected {VERSION}; make it again with this version"
            )));
        }
        let header = Header::decode(kind, &map);
        if header.file_len() != map.len() as u128 {
            return Err(failed(&format!(
                "{} bytes, expected {} for its {} rows; make it again",
                map.len(),
                header.file_len(),
                header.rows
            )));
        }
        let checksum = u32::from_le_bytes(array(&map[12..]));
        if crc32c::crc32c(&map[CHECKED_FROM..]) != checksum {
            return Err(failed(
                "damaged: its checksum does not agree; make it again",
            ));
        }
        Ok(Self { header, map })
    }

    /// The sections' bytes.
    pub(super) fn body(&self) -> &[u8] {
        &self.map[HEADER_LEN..]
    }
}
