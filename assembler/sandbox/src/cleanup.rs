//! Removes trees that a sandbox left behind.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, chmodat, openat, renameat, statat, unlinkat,
};
use rustix::io::Errno;

/// Removes a directory and everything in it, whatever permissions a command left on it.
///
/// Overlayfs leaves a directory without permissions in [`Spec::work`](crate::Spec::work), and a
/// command may do so in `upper`, or nest directories deeper than paths can name: all this is
/// removed as an ordinary user, with two open directories and memory for one directory's names.
/// Links are removed, not followed. A path that is not there is removed already.
///
/// # Errors
/// Passes on the kernel's refusal, as for files that belong to someone else.
pub fn remove_tree(path: &Path) -> io::Result<()> {
    let stat = match statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(()),
        other => other?,
    };
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        return Ok(unlinkat(CWD, path, AtFlags::empty())?);
    }
    let top = open(CWD, path)?;
    let mut serial = 0u64;
    // Directories below the top are brought up to it one level at a time, so that no depth is
    // too deep; each round removes a level.
    loop {
        let names = names(top.as_fd())?;
        if names.is_empty() {
            break;
        }
        for (name, directory) in names {
            if directory {
                flatten(&top, &name, &mut serial)?;
            } else {
                unlinkat(&top, &name, AtFlags::empty())?;
            }
        }
    }
    drop(top);
    Ok(unlinkat(CWD, path, AtFlags::REMOVEDIR)?)
}

/// Removes a directory in `top` after moving the directories in it up into `top`.
fn flatten(top: &OwnedFd, name: &CStr, serial: &mut u64) -> io::Result<()> {
    match unlinkat(top, name, AtFlags::REMOVEDIR) {
        Err(Errno::NOTEMPTY | Errno::EXIST | Errno::ACCESS) => {}
        other => return Ok(other?),
    }
    let dir = open(top.as_fd(), name)?;
    for (inner, directory) in names(dir.as_fd())? {
        if !directory {
            unlinkat(&dir, &inner, AtFlags::empty())?;
            continue;
        }
        if unlinkat(&dir, &inner, AtFlags::REMOVEDIR).is_ok() {
            continue;
        }
        // Moving a directory writes to it: its parent changes.
        chmodat(&dir, &inner, Mode::RWXU, AtFlags::empty())?;
        loop {
            *serial += 1;
            let free = CString::new(format!(".removed-{serial}"))?;
            if let Err(Errno::NOENT) = statat(top, &free, AtFlags::SYMLINK_NOFOLLOW) {
                renameat(&dir, &inner, top, &free)?;
                break;
            }
        }
    }
    drop(dir);
    Ok(unlinkat(top, name, AtFlags::REMOVEDIR)?)
}

/// Opens a directory, giving its owner all permissions if need be.
fn open<P: rustix::path::Arg + Copy>(at: BorrowedFd<'_>, path: P) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let writable = statat(at, path, AtFlags::SYMLINK_NOFOLLOW)?.st_mode & 0o700 == 0o700;
    if !writable {
        chmodat(at, path, Mode::RWXU, AtFlags::empty())?;
    }
    Ok(openat(at, path, flags, Mode::empty())?)
}

/// Lists a directory: names, and whether each is a directory.
fn names(dir: BorrowedFd<'_>) -> io::Result<Vec<(CString, bool)>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let kind = match entry.file_type() {
            FileType::Unknown => {
                FileType::from_raw_mode(statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?.st_mode)
            }
            known => known,
        };
        names.push((name.to_owned(), kind == FileType::Directory));
    }
    Ok(names)
}
