//! What a build tells while it runs.

use std::{path::Path, time::Duration};

use stagex_sources::Attempt;

/// One step of a stage, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepName {
    /// The package's id.
    pub package: String,
    /// The stage's name, or its number where it has none.
    pub stage: String,
    /// Which instruction of the stage it is, from 1.
    pub number: usize,
    /// How many the stage has.
    pub of: usize,
    /// The instruction as written, its first line.
    pub text: String,
}

/// What a finished step used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// CPU time of all its processes.
    pub cpu: Duration,
    /// Time on the wall clock.
    pub wall: Duration,
    /// The most memory that one of its processes held, in bytes.
    pub max_rss: u64,
}

/// Is told how a build goes; called from several threads.
pub trait Observer: stagex_sources::Observer {
    /// The build knows what there is to do: packages whose stages are not all in the store, and
    /// all packages it looked at.
    fn planned(&self, _to_build: usize, _packages: usize) {}
    /// A step that is not in the store begins; what it prints goes to `log`.
    fn step_started(&self, _step: &StepName, _log: Option<&Path>) {}
    /// A step ended well.
    fn step_finished(&self, _step: &StepName, _usage: Usage) {}
    /// A step failed.
    fn step_failed(&self, _step: &StepName) {}
    /// A step was stopped because the user ends the build.
    fn step_stopped(&self, _step: &StepName) {}
    /// Something is probably not as meant.
    fn warned(&self, _text: &str) {}
}

/// An [`Observer`] that does nothing.
pub struct Quiet;

impl stagex_sources::Observer for Quiet {
    fn advanced(&self, _: &str, _: u64, _: Option<u64>) {}
    fn failed_place(&self, _: &str, _: &Attempt) {}
    fn finished(&self, _: &str, _: bool) {}
}

impl Observer for Quiet {}
