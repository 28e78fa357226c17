//! Runs one command in a rootless, hermetic Linux sandbox.
//!
//! There is no daemon and no helper program, and nothing needs root: as root and as an ordinary
//! user the command sees the same. [`run`] forks into new namespaces (user, mount, pid, network,
//! ipc, uts, cgroup), builds a root file system from layers with overlayfs, and executes the
//! command as a child of a small init, with whose end everything ends.
//!
//! # What the command sees
//! - **Ids.** One id is mapped: the caller's, which looks like [`Spec::uid`] and [`Spec::gid`].
//!   All files belong to it. chown(2) and its kin, and setgroups(2), succeed without effect;
//!   getgroups(2) gives none. setuid(2) and its kin know the mapped id only. Set-id bits can be
//!   set on files, but have no effect. Device nodes cannot be made (EPERM), nor can file
//!   capabilities be set.
//! - **Files.** The layers, with changes going to [`Spec::upper`]; a fresh, read-only /proc; a
//!   /dev with null, zero, full, random, urandom, tty, ptmx, pts, shm and the standard links; an
//!   empty /sys; /tmp is part of the layers, and what is left there stays.
//! - **Network.** A loopback interface, which is up, or the host's network: [`Spec::network`].
//! - **Fixed.** Host name `stagex`, umask 022, no randomised addresses, default signals, a
//!   session of its own, an 8 MiB stack, no descriptors but [`Spec::descriptors`], and exactly [`Spec::env`].
//! - **Forbidden.** Mounting, new namespaces, kernel modules, bpf, perf events, keys, clocks
//!   (EPERM); io_uring (ENOSYS); sockets other than Unix, IPv4, IPv6 and route netlink
//!   (EAFNOSUPPORT); feeding a terminal input. ptrace(2) within the sandbox is allowed, as test
//!   suites of debuggers need it.
//! - **Not hidden.** The kernel's release, the processor, memory and time: they are the host's.
//!
//! # Requirements
//! Linux 5.12 with overlayfs and user namespaces; no cgroups. [`probe`] tells what is missing.
#![cfg(target_os = "linux")]
// Forking into namespaces is what this crate is for; each block says why it is sound.
#![allow(unsafe_code)]

mod cancel;
mod cleanup;
mod disk;
mod error;
mod init;
mod plan;
mod probe;
mod run;
mod seccomp;
mod setup;
mod spec;
mod sys;

pub use cancel::Cancel;
pub use cleanup::remove_tree;
pub use error::{Error, Step};
pub use probe::{Unsupported, probe};
pub use run::{Stdio, run, shell};
pub use spec::{Limit, Limits, Mount, Outcome, Personality, Spec, Status};

/// The version of what a command sees: part of a step's identity, raised with every change of it.
pub const VERSION: u32 = 1;
