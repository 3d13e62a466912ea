//! The nearest words of every word, computed once.

use std::path::Path;

use super::file_error;
use super::store_file::{Header, Kind, MappedFile};
use crate::ModelError;

/// Ids of the nearest words, `[words, count]`, nearest first.
#[derive(Debug)]
pub(super) struct NeighbourTable {
    file: MappedFile,
}

impl NeighbourTable {
    /// Writes a table, to `path` or to memory alone.
    pub(super) fn create(
        path: Option<&Path>,
        digest: [u8; 32],
        rows: usize,
        ids: &[u32],
    ) -> Result<Self, ModelError> {
        let header = Header {
            kind: Kind::Neighbours,
            rows: rows as u64,
            columns: ids.len().checked_div(rows).unwrap_or(0) as u32,
            flags: 0,
            text_len: 0,
            digest,
        };
        let sections = [bytemuck::cast_slice(ids)];
        let file = match path {
            Some(path) => MappedFile::create(path, &header, &sections)?,
            None => MappedFile::in_memory(&header, &sections)?,
        };
        Ok(Self { file })
    }

    /// Opens the table of the vectors with this digest.
    pub(super) fn open(path: &Path, digest: [u8; 32], rows: usize) -> Result<Self, ModelError> {
        let table = Self {
            file: MappedFile::open(path, Kind::Neighbours)?,
        };
        let header = &table.file.header;
        if header.digest != digest || header.rows != rows as u64 {
            return Err(file_error(
                path,
                "made from other vectors than those beside it; delete it, and make it again with `limbeck vectors import`",
            ));
        }
        if table.ids().iter().any(|&id| id as usize >= rows) {
            return Err(file_error(
                path,
                "names words that are not there; make it again",
            ));
        }
        Ok(table)
    }

    /// Neighbours per word.
    pub(super) fn count(&self) -> usize {
        self.file.header.columns as usize
    }

    /// Neighbours of a word.
    pub(super) fn row(&self, word: usize) -> &[u32] {
        &self.ids()[word * self.count()..][..self.count()]
    }

    fn ids(&self) -> &[u32] {
        bytemuck::cast_slice(self.file.body())
    }
}
