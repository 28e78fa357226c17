//! Builds packages: plan, sources, sandboxed steps, layers.
//!
//! [`Engine::build`] takes packages of a catalogue and evaluates the stages of their
//! Containerfiles, in BuildKit's meaning of the instructions, into layers of a store. A step whose
//! key is known is not run: the key is a hash of everything it can see. Stages that do not wait
//! for each other run at the same time.

mod again;
mod archive;
mod compare;
mod context;
mod copying;
mod engine;
mod error;
mod explain;
mod failed;
mod jobs;
pub mod ladder;
pub mod lock;
pub mod observe;
mod place;
mod running;
mod schedule;
mod scope;
mod stage;
pub mod timing;
mod user;

pub use again::{Extent, Varied};
pub use compare::{Difference, first_difference};
pub use context::{ContextError, read_folder};
pub use engine::{Engine, Options, Parts, Stage, Unit};
pub use error::{Error, StepFailure};
pub use explain::{Cause, Explained};
pub use failed::{Failed, shell_in};
pub use running::roots;
pub use stage::{Built, Ran};

/// What fuzzing looks at from outside.
#[doc(hidden)]
pub mod fuzzing {
    use std::{io, path::Path};

    use stagex_tree::TreePath;

    /// Opens an archive as ADD does.
    pub fn open_archive(path: &Path) -> io::Result<Option<Box<dyn io::Read + Send>>> {
        crate::archive::open(path)
    }

    /// How many of `paths` a pattern of COPY matches; `None` if it is none.
    pub fn matching(pattern: &str, paths: &[TreePath]) -> Option<usize> {
        crate::place::matching(pattern, paths.iter()).ok().map(|found| found.len())
    }
}
