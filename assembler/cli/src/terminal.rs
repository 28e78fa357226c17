//! What is printed. Whoever reads it may stop at any time, as `head` does, and is no reason to stop
//! what is being done; `println!` and the like in this crate lead here.

use std::{
    fmt,
    io::{self, Write as _},
    sync::{Mutex, PoisonError},
};

use crate::failure::Failure;

/// Why something could not be printed.
static LOST: Mutex<Option<io::Error>> = Mutex::new(None);

/// Prints a result.
pub(crate) fn print(text: fmt::Arguments<'_>) {
    if let Err(error) = io::stdout().write_fmt(text) {
        if !is_closed(&error) {
            *LOST.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        }
    }
}

/// Prints what is no result. Where that cannot be done, there is nobody to be told.
pub(crate) fn print_aside(text: fmt::Arguments<'_>) {
    let _ = io::stderr().write_fmt(text);
}

/// Whether nobody reads on.
pub(crate) fn is_closed(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe
}

/// Says whether a result was lost that somebody wanted to have.
pub(crate) fn all_printed() -> Result<(), Failure> {
    let lost = LOST.lock().unwrap_or_else(PoisonError::into_inner).take();
    lost.map_or(Ok(()), |error| Err(Failure::failed(format!("standard output: {error}"))))
}
