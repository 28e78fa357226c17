//! The command is the same everywhere, and alone.

use std::os::fd::AsRawFd;

use stagex_sandbox::{Personality, Status};

use crate::support::Root;

#[test]
fn surroundings_are_fixed() {
    let mut root = Root::new();
    root.spec.env.push(("GREETING".into(), "a b=c".into()));
    root.spec.argv = vec!["env".into()];
    assert_eq!(root.run().1, "PATH=/bin\nGREETING=a b=c\n");
    let text = root.sh("hostname; umask; id -u; id -g; id -G; pwd; ulimit -c; ulimit -s; tty; cat /proc/self/personality");
    assert_eq!(text, "stagex\n0022\n0\n0\n0\n/\n0\n8192\nnot a tty\n00040000\n");
    let text = root.sh("ls -A /sys /proc/self/fd | cat; cat /proc/sys/kernel/domainname");
    assert!(!text.contains("\n10\n"), "a descriptor was inherited: {text}");
    assert!(text.ends_with("(none)\n"));
    root.fresh();
    root.spec.argv =
        ["grep", "-E", "^(Sig(Blk|Ign|Cgt)|NoNewPrivs|Seccomp|CapEff):", "/proc/self/status"]
            .iter()
            .map(Into::into)
            .collect();
    let (_, text) = root.run();
    for line in [
        "SigBlk:\t0000000000000000",
        "SigIgn:\t0000000000000000",
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
        "CapEff:\t00000000000405fb",
    ] {
        assert!(text.contains(line), "{line} is not in:\n{text}");
    }
}

#[test]
fn other_ids() {
    let mut root = Root::new();
    root.spec.uid = 1000;
    root.spec.gid = 100;
    let text = root.sh("id -u; id -g; touch /f; stat -c '%u %g' /f; grep CapEff /proc/self/status");
    assert_eq!(text, "1000\n100\n1000 100\nCapEff:\t0000000000000000\n");
}

#[test]
fn thirty_two_bits() {
    let mut root = Root::new();
    let native = root.sh("uname -m");
    root.spec.personality = Personality::Linux32;
    let text = root.sh("uname -m");
    if native == "x86_64\n" {
        assert_eq!(text, "i686\n");
    }
}

#[test]
fn owners_and_devices() {
    let mut root = Root::new();
    let text = root.sh(
        "touch f; chown 12:34 f && chown -h 5 f && chgrp 7 f && stat -c '%u:%g' f; \
         chmod 4755 f && cp -a f g && stat -c %a g; \
         echo x >h; tar c h | tar x -C /tmp && stat -c %u /tmp/h; \
         mknod node c 1 3 2>&1; mknod node b 8 0 2>&1; mknod node c 0 0 2>&1; mkfifo fifo && echo fifo; \
         chmod 000 h; cat h",
    );
    let denied = "mknod: node: Operation not permitted\n";
    assert_eq!(text, format!("0:0\n4755\n0\n{denied}{denied}{denied}fifo\nx\n"));
}

#[test]
fn no_network() {
    // A service of the host's, on its loopback.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut root = Root::new();
    let text = root.sh(&format!(
        "ip -o link | wc -l; ip -o link | grep -c 'lo:.*UP'; ip route; \
         nc -w 2 127.0.0.1 {port} </dev/null 2>&1 || echo refused; \
         nc -w 2 192.0.2.1 80 </dev/null 2>&1 || echo unreachable; \
         (echo hello | nc -l -p 7 127.0.0.1 &) ; sleep 0.2; nc 127.0.0.1 7 </dev/null"
    ));
    assert!(text.starts_with("1\n1\n"), "{text}");
    assert!(text.contains("refused\n") && text.contains("unreachable\n"), "{text}");
    assert!(text.contains("Network is unreachable"), "{text}");
    assert!(text.ends_with("hello\n"), "the loopback interface works: {text}");
    root.spec.network = true;
    let accepting = std::thread::spawn(move || drop(listener.accept()));
    let (status, text) = {
        root.fresh();
        root.script(&format!("nc -w 2 127.0.0.1 {port} </dev/null && echo connected")).run()
    };
    assert_eq!((status, text.as_str()), (Status::Exit(0), "connected\n"));
    accepting.join().unwrap();
}

#[test]
fn inherited_descriptors_are_closed() {
    let root_dir = Root::new();
    // One without close-on-exec, as a careless library may leave it.
    let file = std::fs::File::open(root_dir.base()).unwrap();
    rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty()).unwrap();
    let number = file.as_raw_fd();
    let mut root = Root::new();
    let text = root.sh(&format!("ls /proc/$$/fd; ls /proc/$$/fd/{number}/ 2>&1 || true"));
    assert!(text.starts_with("0\n1\n2\n"), "{text}");
    assert!(!text.contains("bin"), "{text}");
}

#[test]
fn descriptors_are_passed_on_purpose_under_their_numbers() {
    use rustix::pipe::{PipeFlags, pipe_with};
    use std::sync::Arc;
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    rustix::io::write(&writer, b"from outside\n").unwrap();
    let (reader, inside) = (Arc::new(reader), Arc::new(writer));
    let mut root = Root::new();
    // Numbers that the sandbox's own descriptors may have, in either order.
    for (read, write) in [(198, 199), (4, 3), (7, 5)] {
        root.spec.descriptors = vec![(read, reader.clone()), (write, inside.clone())];
        let text = root.sh(&format!(
            "ls /proc/self/fd | tr '\\n' ' '; head -n 1 <&{read}; echo from outside >&{write}"
        ));
        let mut open = [0, 1, 2, read, write].map(|fd: i32| fd.to_string());
        open.sort_unstable();
        // `ls` has the folder open as well.
        let listed: Vec<&str> =
            text.split(' ').filter(|word| open.iter().any(|fd| fd == word)).collect();
        assert_eq!(listed, open, "{text}");
        assert!(text.ends_with("from outside\n"), "{text}");
        assert_eq!(text.split(' ').count(), open.len() + 1 + 2, "{text}");
    }
    root.spec.descriptors = vec![(2, reader.clone())];
    assert!(matches!(root.try_run(), Err(stagex_sandbox::Error::Invalid { .. })));
    root.spec.descriptors = vec![(9, reader), (9, inside)];
    assert!(matches!(root.try_run(), Err(stagex_sandbox::Error::Invalid { .. })));
    // A command that cannot be executed is told all the same.
    let mut root = Root::new();
    let (_reader, writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    root.spec.descriptors = vec![(4, Arc::new(writer))];
    root.spec.argv = vec!["/nothing".into()];
    assert!(matches!(root.try_run(), Err(stagex_sandbox::Error::NoProgram { .. })));
}
