//! Ctrl-C: finish the step, save the state, leave.

use std::sync::atomic::{AtomicBool, Ordering};

static ASKED: AtomicBool = AtomicBool::new(false);

/// From now on the first Ctrl-C asks politely; a second one ends the process at once.
pub(crate) fn listen() {
    let handler = || {
        if ASKED.swap(true, Ordering::SeqCst) {
            #[expect(clippy::exit, reason = "the user asked twice")]
            std::process::exit(130);
        }
    };
    // Fails only when set twice (several seeds in one command): the first handler stays.
    let _ = ctrlc::set_handler(handler);
}

/// Whether Ctrl-C was pressed.
pub(crate) fn asked() -> bool {
    ASKED.load(Ordering::SeqCst)
}
