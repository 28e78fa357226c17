//! What every format asks of names and targets.

/// The longest target of a symbolic link in bytes: PATH_MAX on Linux, less the terminating NUL.
const TARGET_MAX: usize = 4095;

/// The length of a symbolic link's target, where Linux can make such a link.
pub(crate) fn symlink_target(target: &[u8]) -> Option<u64> {
    let holds = !target.is_empty() && target.len() <= TARGET_MAX && !target.contains(&0);
    holds.then_some(target.len() as u64)
}
