//! The system call filter: a classic BPF program, as seccomp(2) takes it.
//!
//! Namespaces do the isolating. The filter takes away kernel interfaces that a build has no use
//! for and that have often been the way out, and makes root look the same whoever calls: ids
//! that are not mapped cannot be given to files, so changing owners is made a success without
//! effect. Layers hold no owners but the one.

use libc::{sock_filter, sock_fprog};

const _: () = assert!(std::mem::size_of::<sock_fprog>() >= 8);

const X86_64: u32 = 0xc000_003e;
const I386: u32 = 0x4000_0003;
#[cfg(target_arch = "aarch64")]
const AARCH64: u32 = 0xc000_00b7;
#[cfg(target_arch = "riscv64")]
const RISCV64: u32 = 0xc000_00f3;

/// Bits of clone(2) and unshare(2) that make namespaces, CLONE_NEWTIME aside.
const NEW_NAMESPACES: u32 = 0x7e02_0000;
/// Its bit is part of the exit signal for clone(2).
const CLONE_NEWTIME: u32 = 0x80;

const ALLOW: u32 = 0x7fff_0000;
const ERRNO: u32 = 0x0005_0000;

/// What happens to a system call.
#[derive(Clone, Copy)]
enum Rule {
    /// It returns this `errno`; 0 is a success without effect.
    Errno(i32),
    /// It is refused when one of these bits is set in the first argument.
    Bits(u32),
    /// Socket families are limited.
    Socket,
    /// Requests that put input into a terminal are refused.
    Ioctl,
}

use Rule::{Bits, Errno, Ioctl, Socket};

const DENY: Rule = Errno(libc::EPERM);
const ABSENT: Rule = Errno(libc::ENOSYS);
const DONE: Rule = Errno(0);

/// A rule and the call's number on x86_64, on i386 and in the generic table, -1 where it has none.
///
/// What needs arguments looked at comes first: the kernel remembers the other allowed calls and
/// does not run the filter for them.
#[rustfmt::skip]
const RULES: &[(Rule, i32, i32, i32)] = &[
    (Ioctl, 16, 54, 29),
    (Bits(NEW_NAMESPACES), 56, 120, 220),                 // clone
    (Socket, 41, 359, 198),
    // clone3 hides its flags in memory; C libraries fall back to clone.
    (ABSENT, 435, 435, 435),
    // socketcall hides the family in memory; socket proper exists since Linux 4.3.
    (ABSENT, -1, 102, -1),
    (Bits(NEW_NAMESPACES | CLONE_NEWTIME), 272, 310, 97), // unshare
    // Owners and groups: the same for everyone.
    (DONE, 92, 182, -1), (DONE, 93, 95, 55), (DONE, 94, 16, -1), (DONE, 260, 298, 54), // *chown*
    (DONE, -1, 212, -1), (DONE, -1, 207, -1), (DONE, -1, 198, -1),                     // *chown32
    (DONE, 116, 81, 159), (DONE, -1, 206, -1),            // setgroups: accepted
    (DONE, 115, 80, 158), (DONE, -1, 205, -1),            // getgroups: none
    // Mounts and namespaces.
    (DENY, 165, 21, 40), (DENY, 166, 52, 39), (DENY, -1, 22, -1), // mount, umount2, umount
    (DENY, 155, 217, 41),                                 // pivot_root
    (DENY, 428, 428, 428), (DENY, 429, 429, 429),         // open_tree, move_mount
    (DENY, 430, 430, 430), (DENY, 431, 431, 431),         // fsopen, fsconfig
    (DENY, 432, 432, 432), (DENY, 433, 433, 433),         // fsmount, fspick
    (DENY, 442, 442, 442), (DENY, 467, 467, 467),         // mount_setattr, open_tree_attr
    (DENY, 308, 346, 268),                                // setns
    (DENY, 303, 341, 264), (DENY, 304, 342, 265),         // name_to_handle_at, open_by_handle_at
    // The machine.
    (DENY, 167, 87, 224), (DENY, 168, 115, 225),          // swapon, swapoff
    (DENY, 169, 88, 142),                                 // reboot
    (DENY, 246, 283, 104), (DENY, 320, -1, 294),          // kexec_load, kexec_file_load
    (DENY, 174, 127, -1), (DENY, 175, 128, 105),          // create_module, init_module
    (DENY, 313, 350, 273), (DENY, 176, 129, 106),         // finit_module, delete_module
    (DENY, 179, 131, 60), (DENY, 443, 443, 443),          // quotactl, quotactl_fd
    (DENY, 163, 51, 89),                                  // acct
    (DENY, 164, 79, 170), (DENY, 227, 264, 112),          // settimeofday, clock_settime
    (DENY, -1, 404, -1), (DENY, -1, 25, -1),              // clock_settime64, stime
    (DENY, 170, 74, 161), (DENY, 171, 121, 162),          // sethostname, setdomainname
    (DENY, 172, 110, -1), (DENY, 173, 101, -1),           // iopl, ioperm
    (DENY, -1, 113, -1), (DENY, -1, 166, -1),             // vm86old, vm86
    (DENY, 153, 111, 58),                                 // vhangup
    (DENY, 103, 103, 116),                                // syslog
    // Kernel interfaces with a long history of holes.
    (DENY, 321, 357, 280), (DENY, 298, 336, 241),         // bpf, perf_event_open
    (DENY, 323, 374, 282),                                // userfaultfd
    (DENY, 248, 286, 217), (DENY, 249, 287, 218),         // add_key, request_key
    (DENY, 250, 288, 219),                                // keyctl
    (DENY, 212, 253, 18),                                 // lookup_dcookie
    (DENY, 300, 338, 262),                                // fanotify_init
    (ABSENT, 425, 425, 425), (ABSENT, 426, 426, 426), (ABSENT, 427, 427, 427), // io_uring_*
];

const LOAD: u16 = 0x20;
const JUMP: u16 = 0x05;
const JUMP_EQ: u16 = 0x15;
const JUMP_GE: u16 = 0x35;
const JUMP_SET: u16 = 0x45;
const RETURN: u16 = 0x06;

const NUMBER: u32 = 0;
const ARCH: u32 = 4;

/// The offset of the low half of an argument; every supported machine is little-endian.
const fn argument(index: u32) -> u32 {
    16 + 8 * index
}

fn op(code: u16, jt: u8, jf: u8, k: u32) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

fn give(rule: i32) -> sock_filter {
    op(RETURN, 0, 0, ERRNO | rule as u32)
}

fn allow() -> sock_filter {
    op(RETURN, 0, 0, ALLOW)
}

/// The instructions for a call whose number matched; each list returns.
fn body(rule: Rule) -> Vec<sock_filter> {
    match rule {
        Errno(value) => vec![give(value)],
        Bits(bits) => {
            vec![op(LOAD, 0, 0, argument(0)), op(JUMP_SET, 0, 1, bits), give(libc::EPERM), allow()]
        }
        Socket => vec![
            op(LOAD, 0, 0, argument(0)),
            op(JUMP_EQ, 6, 0, libc::AF_UNIX as u32),
            op(JUMP_EQ, 5, 0, libc::AF_INET as u32),
            op(JUMP_EQ, 4, 0, libc::AF_INET6 as u32),
            op(JUMP_EQ, 0, 2, libc::AF_NETLINK as u32),
            op(LOAD, 0, 0, argument(2)),
            op(JUMP_EQ, 1, 0, libc::NETLINK_ROUTE as u32),
            give(libc::EAFNOSUPPORT),
            allow(),
        ],
        Ioctl => vec![
            op(LOAD, 0, 0, argument(1)),
            op(JUMP_EQ, 1, 0, 0x5412), // TIOCSTI
            op(JUMP_EQ, 0, 1, 0x541c), // TIOCLINUX
            give(libc::EPERM),
            allow(),
        ],
    }
}

/// The part for one machine, entered with the architecture known; it always returns.
fn section(number: impl Fn(&(Rule, i32, i32, i32)) -> i32, x32: bool) -> Vec<sock_filter> {
    let mut code = vec![op(LOAD, 0, 0, NUMBER)];
    if x32 {
        // The x32 calls have numbers of their own, which no rule here covers.
        code.extend([op(JUMP_GE, 0, 1, 0x4000_0000), give(libc::ENOSYS)]);
    }
    for rule in RULES {
        let Ok(number) = u32::try_from(number(rule)) else { continue };
        let body = body(rule.0);
        code.push(op(JUMP_EQ, 0, body.len() as u8, number));
        code.extend(body);
    }
    code.push(allow());
    code
}

/// Assembles the filter for this machine and the 32-bit machine that it also runs.
pub(crate) fn filter() -> Vec<sock_filter> {
    let mut sections: Vec<(u32, Vec<sock_filter>)> = Vec::new();
    #[cfg(target_arch = "x86_64")]
    {
        sections.push((X86_64, section(|rule| rule.1, true)));
        sections.push((I386, section(|rule| rule.2, false)));
    }
    #[cfg(target_arch = "aarch64")]
    sections.push((AARCH64, section(|rule| rule.3, false)));
    #[cfg(target_arch = "riscv64")]
    sections.push((RISCV64, section(|rule| rule.3, false)));

    let mut code = vec![op(LOAD, 0, 0, ARCH)];
    for (arch, section) in sections {
        code.push(op(JUMP_EQ, 1, 0, arch));
        code.push(op(JUMP, 0, 0, section.len() as u32));
        code.extend(section);
    }
    code.push(give(libc::ENOSYS));
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the filter as the kernel would.
    fn evaluate(code: &[sock_filter], arch: u32, number: u32, args: [u32; 6]) -> u32 {
        let mut data = [0u8; 64];
        data[0..4].copy_from_slice(&number.to_le_bytes());
        data[4..8].copy_from_slice(&arch.to_le_bytes());
        for (i, arg) in args.iter().enumerate() {
            data[16 + 8 * i..20 + 8 * i].copy_from_slice(&arg.to_le_bytes());
        }
        let (mut pc, mut a) = (0usize, 0u32);
        loop {
            let i = code[pc];
            pc += 1;
            let branch = |taken: bool| usize::from(if taken { i.jt } else { i.jf });
            match i.code {
                LOAD => a = u32::from_le_bytes(data[i.k as usize..][..4].try_into().unwrap()),
                JUMP => pc += i.k as usize,
                JUMP_EQ => pc += branch(a == i.k),
                JUMP_GE => pc += branch(a >= i.k),
                JUMP_SET => pc += branch(a & i.k != 0),
                RETURN => return i.k,
                other => panic!("unknown instruction {other:#x}"),
            }
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn decides_by_machine_number_and_argument() {
        let code = filter();
        let run = |arch, number, args| evaluate(&code, arch, number, args);
        let none = [0; 6];
        assert_eq!(run(X86_64, 0, none), ALLOW, "read");
        assert_eq!(run(X86_64, 92, none), ERRNO, "chown succeeds without effect");
        assert_eq!(run(I386, 212, none), ERRNO, "chown32");
        assert_eq!(run(I386, 92, none), ALLOW, "truncate on i386 has x86_64's number of chown");
        assert_eq!(run(X86_64, 165, none), ERRNO | libc::EPERM as u32, "mount");
        assert_eq!(run(X86_64, 435, none), ERRNO | libc::ENOSYS as u32, "clone3");
        assert_eq!(run(X86_64, 0x4000_0000, none), ERRNO | libc::ENOSYS as u32, "x32");
        assert_eq!(run(0x1234, 0, none), ERRNO | libc::ENOSYS as u32, "unknown machine");
        let clone = |flags| run(X86_64, 56, [flags, 0, 0, 0, 0, 0]);
        assert_eq!(clone(libc::SIGCHLD as u32), ALLOW);
        assert_eq!(clone(0x003d_0f00), ALLOW, "a thread");
        for flag in [0x0002_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000, 0x0200_0000] {
            assert_eq!(clone(flag | 17), ERRNO | libc::EPERM as u32, "{flag:#x}");
        }
        let socket = |family, protocol| run(X86_64, 41, [family, 1, protocol, 0, 0, 0]);
        for family in [1, 2, 10] {
            assert_eq!(socket(family, 7), ALLOW);
        }
        assert_eq!(socket(16, 0), ALLOW, "netlink route");
        for (family, protocol) in [(16, 9), (38, 0), (40, 0), (17, 0), (0, 0)] {
            assert_eq!(socket(family, protocol), ERRNO | libc::EAFNOSUPPORT as u32);
        }
        let ioctl = |request| run(X86_64, 16, [0, request, 0, 0, 0, 0]);
        assert_eq!(ioctl(0x5401), ALLOW, "TCGETS");
        assert_eq!(ioctl(0x5412), ERRNO | libc::EPERM as u32);
        assert_eq!(ioctl(0x541c), ERRNO | libc::EPERM as u32);
    }

    /// The numbers of this machine agree with the C library's.
    #[cfg(target_arch = "x86_64")]
    #[test]
    fn numbers_are_the_machine_s() {
        let code = filter();
        let denied = [
            libc::SYS_mount,
            libc::SYS_umount2,
            libc::SYS_pivot_root,
            libc::SYS_setns,
            libc::SYS_open_by_handle_at,
            libc::SYS_swapon,
            libc::SYS_reboot,
            libc::SYS_kexec_load,
            libc::SYS_kexec_file_load,
            libc::SYS_init_module,
            libc::SYS_finit_module,
            libc::SYS_delete_module,
            libc::SYS_quotactl,
            libc::SYS_acct,
            libc::SYS_settimeofday,
            libc::SYS_clock_settime,
            libc::SYS_sethostname,
            libc::SYS_iopl,
            libc::SYS_ioperm,
            libc::SYS_vhangup,
            libc::SYS_syslog,
            libc::SYS_bpf,
            libc::SYS_perf_event_open,
            libc::SYS_userfaultfd,
            libc::SYS_add_key,
            libc::SYS_request_key,
            libc::SYS_keyctl,
            libc::SYS_fanotify_init,
            libc::SYS_mount_setattr,
            libc::SYS_open_tree,
            libc::SYS_move_mount,
            libc::SYS_fsopen,
            libc::SYS_fsmount,
        ];
        for number in denied {
            let verdict = evaluate(&code, X86_64, number as u32, [0; 6]);
            assert_eq!(verdict, ERRNO | libc::EPERM as u32, "number {number}");
        }
        let done = [
            libc::SYS_chown,
            libc::SYS_fchown,
            libc::SYS_lchown,
            libc::SYS_fchownat,
            libc::SYS_setgroups,
            libc::SYS_getgroups,
        ];
        for number in done {
            assert_eq!(evaluate(&code, X86_64, number as u32, [0; 6]), ERRNO, "number {number}");
        }
    }
}
