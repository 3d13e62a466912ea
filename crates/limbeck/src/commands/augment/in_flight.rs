//! Many rows at once, each waiting for a pooled model's answers on a thread of its own.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use limbeck_text::BoxError;

/// What `work` makes of each item, in order, with `in_flight` of them in work at once; of several errors the first item's.
///
/// Not on rayon's threads: these compute what the waiting rows ask for.
pub(super) fn map<T: Sync, R: Send>(
    items: &[T],
    in_flight: usize,
    work: impl Fn(&T) -> Result<R, BoxError> + Sync,
) -> Result<Vec<R>, BoxError> {
    let next = AtomicUsize::new(0);
    let results: Vec<Mutex<Option<Result<R, BoxError>>>> =
        items.iter().map(|_| Mutex::new(None)).collect();
    std::thread::scope(|scope| {
        for _ in 0..in_flight.clamp(1, items.len().max(1)) {
            scope.spawn(|| {
                while let Some(index) = Some(next.fetch_add(1, Ordering::Relaxed))
                    && let Some(item) = items.get(index)
                {
                    let result = work(item);
                    *results[index]
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner) = Some(result);
                }
            });
        }
    });
    let result = |slot: Mutex<Option<_>>| slot.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.into_iter().filter_map(result).collect()
}
