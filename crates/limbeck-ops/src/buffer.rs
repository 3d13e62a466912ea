//! Working memory that is kept from step to step.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

/// Bytes kept for later use; beyond, memory goes back to the system.
const KEEP_LIMIT: usize = 1 << 30;

/// A slice of floats from a common pool, returned to it when dropped.
///
/// Asking the system for fresh pages and clearing them costs a tenth of a training step; a pool
/// costs nothing. Contents are arbitrary when taken.
#[derive(Debug)]
pub(crate) struct Buffer {
    memory: Vec<f32>,
    len: usize,
}

static POOL: Mutex<Vec<Vec<f32>>> = Mutex::new(Vec::new());

impl Buffer {
    pub(crate) fn take(len: usize) -> Self {
        let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
        // The smallest that fits and is not wastefully large.
        let fitting = (0..pool.len())
            .filter(|&i| pool[i].len() >= len && pool[i].len() <= 4 * len + 4096)
            .min_by_key(|&i| pool[i].len());
        let memory = fitting.map(|i| pool.swap_remove(i));
        drop(pool);
        let memory = memory.unwrap_or_else(|| vec![0.0; len + len / 4]);
        Self { memory, len }
    }

    pub(crate) fn zeroed(len: usize) -> Self {
        let mut buffer = Self::take(len);
        buffer.fill(0.0);
        buffer
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let memory = std::mem::take(&mut self.memory);
        let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
        let kept: usize = pool.iter().map(|m| m.len() * 4).sum();
        if kept + memory.len() * 4 <= KEEP_LIMIT {
            pool.push(memory);
        } else if let Some(smallest) = (0..pool.len()).min_by_key(|&i| pool[i].len()) {
            pool.swap_remove(smallest);
        }
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.memory[..self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.memory[..self.len]
    }
}
