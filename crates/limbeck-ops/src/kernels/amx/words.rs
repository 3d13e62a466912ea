//! Pooled memory for packed panels.

use std::ops::{Deref, DerefMut};

use crate::buffer::Buffer;

/// Words in a line of the processor's cache: a tile's row should be one.
const CACHE_LINE_WORDS: usize = 16;

/// 32-bit words of a [`Buffer`] from the start of a cache line on; contents are arbitrary.
#[derive(Debug)]
pub(super) struct Words {
    buffer: Buffer,
    offset: usize,
    len: usize,
}

impl Words {
    pub(super) fn take(len: usize) -> Self {
        let buffer = Buffer::take(len + CACHE_LINE_WORDS);
        let offset = buffer.as_ptr().align_offset(4 * CACHE_LINE_WORDS);
        assert!(offset <= CACHE_LINE_WORDS, "floats are aligned to words");
        Self {
            buffer,
            offset,
            len,
        }
    }
}

impl Deref for Words {
    type Target = [u32];

    #[expect(unsafe_code, reason = "floats seen as words")]
    fn deref(&self) -> &[u32] {
        let floats = &self.buffer[self.offset..][..self.len];
        // SAFETY: the same memory, size and alignment; any word is valid.
        unsafe { std::slice::from_raw_parts(floats.as_ptr().cast(), floats.len()) }
    }
}

impl DerefMut for Words {
    #[expect(unsafe_code, reason = "floats seen as words")]
    fn deref_mut(&mut self) -> &mut [u32] {
        let floats = &mut self.buffer[self.offset..][..self.len];
        // SAFETY: the same memory, size and alignment; any word is valid as either.
        unsafe { std::slice::from_raw_parts_mut(floats.as_mut_ptr().cast(), floats.len()) }
    }
}
